"""Asking the engine whether it would take a configuration, without running it."""

from collections.abc import Mapping

import trio

from healthd.engines import process, xray
from healthd.errors import EngineFailed
from healthd.model import Node, Reason, redact

_LIMIT = 60.0
"""Seconds. 10,000 outbounds take about one; beyond a minute something else is wrong."""


async def check(binary: str, config: bytes, *, owner: str) -> str | None:
    """Return the engine's whole output if it refuses the configuration, None if it takes it.

    Raises:
        EngineFailed: the engine could not be asked.
    """
    output = bytearray()
    with trio.move_on_after(_LIMIT) as limit:
        code = await process.run(
            [binary, "run", "-test", "-c", "stdin:"],
            stdin=config,
            on_output=output.extend,
            owner=owner,
        )
    if limit.cancelled_caught:
        raise EngineFailed(Reason.SPAWN, f"the engine's own check took over {_LIMIT:.0f} s")
    if code < 0:
        raise EngineFailed(Reason.ENGINE_EXIT, f"the engine's own check died by signal {-code}")
    return None if code == 0 else output.decode(errors="replace")


async def find_refused(binary: str, nodes: Mapping[str, Node], *, owner: str) -> dict[str, str]:
    """Which of these nodes the engine refuses, by key, with its words (redacted).

    The engine stops at the first bad node and names it; then the others are asked again. Where it
    names nobody, halving finds the node.
    """
    left, refused = dict(nodes), dict[str, str]()
    while left:
        config = xray.client_config(
            {key: node.endpoint for key, node in left.items()},
            port=1,
            password="check",  # noqa: S106
        )
        output = await check(binary, config, owner=owner)
        if output is None:
            break
        key, words = xray.rejected_tag(output) or ("", xray.last_words(output))
        if key in left:
            refused[key] = redact(words, left.pop(key).endpoint.secrets())
        elif await check(binary, xray.client_config({}, port=1, password="-"), owner=owner):  # noqa: S106
            # It refuses even a configuration without any node: the fault is not a node's.
            secrets = [secret for node in left.values() for secret in node.endpoint.secrets()]
            words = redact(words, secrets)
            raise EngineFailed(Reason.SPAWN, f"the engine refuses every configuration: {words}")
        elif len(left) == 1:
            key, node = left.popitem()
            refused[key] = redact(words, node.endpoint.secrets())
        else:
            keys = list(left)
            half = len(keys) // 2
            for part in (keys[:half], keys[half:]):
                some = {key: left[key] for key in part}
                refused |= await find_refused(binary, some, owner=owner)
            break
    return refused
