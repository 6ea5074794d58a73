"""Asking an engine whether it would take a configuration, without running it."""

from collections.abc import Mapping

import trio

from healthd.engines.dialect import EngineName
from healthd.engines.program import Program, Programs
from healthd.errors import EngineFailed
from healthd.model import Node, Reason, redact, secrets_of

_LIMIT = 60.0
"""Seconds. 10,000 outbounds take about one; beyond a minute something else is wrong."""


async def check(program: Program, config: bytes) -> str | None:
    """Return the engine's whole output if it refuses the configuration, None if it takes it.

    Raises:
        EngineFailed: the engine could not be asked.
    """
    output = bytearray()
    with trio.move_on_after(_LIMIT) as limit:
        code = await program.check(config, output.extend)
    if limit.cancelled_caught:
        raise EngineFailed(Reason.SPAWN, f"the engine's own check took over {_LIMIT:.0f} s")
    if code < 0:
        raise EngineFailed(Reason.ENGINE_EXIT, f"the engine's own check died by signal {-code}")
    return None if code == 0 else output.decode(errors="replace")


async def check_document(programs: Programs, name: EngineName, config: bytes) -> str | None:
    """Ask one of the engines about one configuration.

    Returns:
        Its words of refusal, not redacted; None when it takes it, or is not installed.

    Raises:
        EngineFailed: the engine could not be asked.
    """
    program = programs.get(name)
    if program is None:
        return None
    output = await check(program, config)
    return None if output is None else program.dialect.last_words(output)


async def find_refused(program: Program, nodes: Mapping[str, Node]) -> dict[str, str]:
    """Which of these nodes the engine refuses, by key, with its words (redacted).

    The engine stops at the first bad node and names it; then the others are asked again. Where it
    names nobody, halving finds the node.
    """
    dialect = program.dialect
    left, refused = dict(nodes), dict[str, str]()
    while left:
        output = await check(program, _config(program, left))
        if output is None:
            break
        key, words = dialect.rejected_tag(output, list(left)) or ("", dialect.last_words(output))
        if key in left:
            refused[key] = redact(words, left.pop(key).endpoint.secrets())
        elif await check(program, _config(program, {})):
            # It refuses even a configuration without any node: the fault is not a node's.
            words = redact(words, secrets_of(left.values()))
            raise EngineFailed(Reason.SPAWN, f"the engine refuses every configuration: {words}")
        elif len(left) == 1:
            key, node = left.popitem()
            refused[key] = redact(words, node.endpoint.secrets())
        else:
            keys = list(left)
            half = len(keys) // 2
            for part in (keys[:half], keys[half:]):
                refused |= await find_refused(program, {key: left[key] for key in part})
            break
    return refused


def _config(program: Program, nodes: Mapping[str, Node]) -> bytes:
    """A client for these nodes, as it is when it is only looked at."""
    endpoints = {key: node.endpoint for key, node in nodes.items()}
    return program.dialect.client_config(endpoints, port=1, password="check")  # noqa: S106
