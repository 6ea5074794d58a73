"""Nothing goes live that has not been read back, and that its engine does not take."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field

import trio

from healthd.config import FormatName
from healthd.engines.carrying import DIALECTS
from healthd.engines.check import check_document
from healthd.engines.dialect import Engine, EngineName
from healthd.engines.program import Programs
from healthd.errors import EngineFailed
from healthd.model import Node, redact, secrets_of
from healthd.publishing import singbox
from healthd.publishing.about import About
from healthd.publishing.files import Sample
from healthd.publishing.formats import FORMATS, Format, Refused

Ask = Callable[[EngineName, bytes], Awaitable[str | None]]
"""Asks an engine about one configuration: None, or its words of refusal (not redacted)."""


def asker(programs: Programs, sing_box: Engine | None) -> Ask:
    """Asks the engines that are installed. One that is not has no objection."""

    async def ask(name: EngineName, config: bytes) -> str | None:
        if name is EngineName.SING_BOX and sing_box is not None and not sing_box.has_utls:
            config = singbox.without_utls(config)
        return await check_document(programs, name, config)

    return ask


@dataclass(slots=True)
class Judgement:
    """What must not go live as it is: some nodes in a document, or a format as a whole."""

    refused: Refused = field(default_factory=dict)
    """One node must not keep all others from users: without it a document can be rendered again."""
    faults: dict[str, str] = field(default_factory=dict)
    """File -> why it must not go live at all, in words. The fault of one format is no other's."""
    unasked: bool = False
    """Whether an engine could not even be asked: then a fault says nothing of its document."""


async def judge(
    samples: Sequence[Sample], names: Sequence[FormatName], about: About, ask: Ask
) -> Judgement:
    """Read every document back, and ask the engines about it.

    Args:
        samples: What was rendered.
        names: The formats.
        about: What they were rendered with.
        ask: Asks an engine.
    """
    found = Judgement()
    for form in (FORMATS[name] for name in names):
        try:
            found.refused |= await _find_refused(form, samples, about, ask)
        except ValueError as why:
            found.faults[form.file] = str(why)
        except EngineFailed as why:
            found.faults[form.file] = f"{_title(form)} cannot be asked about it: {why}"
            found.unasked = True
    return found


async def _find_refused(form: Format, samples: Sequence[Sample], about: About, ask: Ask) -> Refused:
    """The nodes for whose sake an engine refuses documents of one format.

    Raises:
        ValueError: a document holds something else than it should, or its engine refuses it for
            another reason than a node.
        EngineFailed: the engine could not be asked.
    """
    bad: list[tuple[Node, str]] = []
    taken, last = False, ""
    for nodes, document in _documents(form, samples):
        await trio.to_thread.run_sync(form.verify, document, nodes)
        if (words := await _refusal(form, document, ask)) is None:
            taken = True
            continue
        found = await _search(form, nodes, about, ask, words)
        last = f"{form.file} is refused by {_title(form)}: {_shown(words, nodes)}"
        if not found:
            raise ValueError(last)
        bad += found
        taken = taken or len(found) < len(nodes)
    if bad and not taken:  # it takes nothing at all: that is no node's fault
        raise ValueError(last)
    title = _title(form)
    return {(form.file, node.fingerprint): f"{title} refuses it: {why}" for node, why in bad}


def _documents(form: Format, samples: Sequence[Sample]) -> Iterator[tuple[Sequence[Node], bytes]]:
    """Each sample's document of this format, with the nodes that are in it."""
    for each in samples:
        if (document := each.rendering.documents.get(form.file)) is not None:
            without = each.rendering.left_out.get(form.file, {})
            yield [node for node in each.nodes if node.id not in without], document


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
    return redact(words, secrets_of(nodes))
