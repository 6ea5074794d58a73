"""Nothing goes live that has not been read back, and that its engine does not take."""

from collections.abc import Awaitable, Callable, Iterator, Sequence

import trio

from healthd.config import FormatName
from healthd.engines.carrying import DIALECTS
from healthd.engines.check import check_document
from healthd.engines.dialect import Engine, EngineName
from healthd.engines.program import Programs
from healthd.model import Node, redact
from healthd.publishing import singbox
from healthd.publishing.about import About
from healthd.publishing.formats import FORMATS, Format, Refused, Rendering

Ask = Callable[[EngineName, bytes], Awaitable[str | None]]
"""Asks an engine about one configuration: None, or its words of refusal (not redacted)."""


def asker(programs: Programs, sing_box: Engine | None) -> Ask:
    """Asks the engines that are installed. One that is not has no objection."""

    async def ask(name: EngineName, config: bytes) -> str | None:
        if name is EngineName.SING_BOX and sing_box is not None and not sing_box.has_utls:
            config = singbox.without_utls(config)
        return await check_document(programs, name, config)

    return ask


async def find_refused(
    nodes: Sequence[Node],
    rendering: Rendering,
    names: Sequence[FormatName],
    about: About,
    ask: Ask,
) -> Refused:
    """Read every document back, and find the nodes for whose sake an engine refuses one.

    One node must not keep all others from users: without it the document can be rendered again.

    Args:
        nodes: What was rendered.
        rendering: What came of it.
        names: The formats.
        about: What they were rendered with.
        ask: Asks an engine.

    Raises:
        ValueError: a document holds something else than it should, or its engine refuses it for
            another reason than a node.
        EngineFailed: an engine could not be asked.
    """
    refused: Refused = {}
    for form, document in _documents(rendering, names):
        without = rendering.left_out.get(form.file, {})
        fit = [node for node in nodes if node.id not in without]
        await trio.to_thread.run_sync(form.verify, document, fit)
        if (words := await _refusal(form, document, ask)) is None:
            continue
        found = await _search(form, fit, about, ask, words)
        if not found or len(found) == len(fit):
            raise ValueError(f"{form.file} is refused by {_title(form)}: {_shown(words, fit)}")
        for node, why in found:
            refused[form.file, node.fingerprint] = f"{_title(form)} refuses it: {why}"
    return refused


def _documents(rendering: Rendering, names: Sequence[FormatName]) -> Iterator[tuple[Format, bytes]]:
    for form in (FORMATS[name] for name in names):
        if (document := rendering.documents.get(form.file)) is not None:
            yield form, document


async def _refusal(form: Format, document: bytes, ask: Ask) -> str | None:
    if form.engine is None:
        return None
    for sample in form.samples(document):
        if (words := await ask(form.engine, sample)) is not None:
            return words
    return None


async def _search(
    form: Format, nodes: Sequence[Node], about: About, ask: Ask, words: str
) -> list[tuple[Node, str]]:
    """Halve the nodes of a refused document until the bad ones are alone, each with its words."""
    if len(nodes) == 1:
        return [(nodes[0], _shown(words, nodes))]
    found = []
    half = len(nodes) // 2
    for part in (nodes[:half], nodes[half:]):
        document = await trio.to_thread.run_sync(form.render, part, about)
        if (now := await _refusal(form, document, ask)) is not None:
            found += await _search(form, part, about, ask, now)
    return found


def _title(form: Format) -> str:
    return DIALECTS[form.engine].title if form.engine else ""


def _shown(words: str, nodes: Sequence[Node]) -> str:
    secrets = [secret for node in nodes for secret in node.endpoint.secrets()]
    return redact(words, secrets)
