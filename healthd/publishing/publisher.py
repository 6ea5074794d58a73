"""One publication: render, verify, write, flip; or leave everything as it is.

Nothing goes live that has not been verified; see :mod:`healthd.publishing.verifying`. A format for
which too few nodes are left, or which its engine does not take, keeps the document that is served,
byte for byte: a client must not lose its file, and the other formats must go on. Where there are
users, each has files of his own, and nobody the common ones.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial

import trio

from healthd.config import PublishConfig
from healthd.errors import PublishError
from healthd.model import Node
from healthd.publishing.directory import PublicationDirectory, Published
from healthd.publishing.files import Files, Notes, common_files
from healthd.publishing.formats import About, Refused
from healthd.publishing.meta import META
from healthd.publishing.users import Users, user_files
from healthd.publishing.verifying import Ask, Judgement, judge
from healthd.verdict.decision import PANIC, Decision, Memory, after_publishing


class Outcome(StrEnum):
    """What became of one attempt to publish."""

    PUBLISHED = "published"
    UNCHANGED = "unchanged"
    KEPT = "kept"
    """The gate wants what is served to stay as it is."""
    REFUSED = "refused"
    """A document did not stand its verification."""
    FAILED = "failed"
    """It could not be written, or an engine could not be asked."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """The two clocks: the gate measures on the monotonic one, files outlive it."""

    wall: Callable[[], float]
    monotonic: Callable[[], float]

    def to_wall(self, at: float) -> float:
        """The wall-clock second of a monotonic one."""
        return at + self.wall() - self.monotonic()

    def to_monotonic(self, at: float) -> float:
        """The monotonic second of a wall-clock one; what lies in the future is now."""
        return min(at - self.wall(), 0.0) + self.monotonic()


@dataclass(slots=True)
class Publication:
    """One ``[[publish]]`` table at work."""

    config: PublishConfig
    check_url: str
    ask: Ask
    clocks: Clocks
    expect_status: int = 204
    users: Users | None = None
    """Who has files of his own; None: everybody has the common ones."""
    published: Published | None = None
    memory: Memory = field(default_factory=Memory)
    """What the gate must know of its decisions so far."""
    notes: Notes = field(default_factory=Notes)
    """Of the latest attempt; it may be that nothing was written."""
    judged: Judgement = field(default_factory=Judgement)
    """What did not stand its verification when something was last verified."""
    _told: Notes = field(default_factory=Notes)
    """Of what is being served."""
    _refused: Refused = field(default_factory=dict)

    @property
    def directory(self) -> PublicationDirectory:
        """Where it is written."""
        return PublicationDirectory(self.config.directory)

    @property
    def about(self) -> About:
        """What its documents say beside their nodes."""
        return About.of(self.config, self.check_url, self.expect_status)

    def takes(self, node: Node) -> bool:
        """Whether this publication's selection holds the node."""
        return node.selected_by(self.config.select)

    def load(self) -> None:
        """Take up what is being served: by an earlier run, or before a failure behind the flip."""
        self.published = served = self.directory.current()
        self.notes = self._told = _notes_of(self.directory.read(META))
        if served is None:
            self.memory = Memory()
            return
        self.memory = Memory(
            published=served.nodes,
            removals=tuple(self.clocks.to_monotonic(at) for at in served.removals),
            panic=served.mode in PANIC,
        )

    async def publish(self, decision: Decision) -> Outcome:
        """Bring what is served in line with the gate's decision.

        Raises:
            PublishError: every document was refused, or nothing could be written; ``outcome`` on
                it tells which. What was served before still is.
        """
        nodes = decision.nodes
        await self._withdraw()
        if not nodes:
            return Outcome.KEPT
        made = await self._render(nodes, decision.floor)
        self.notes = made.notes
        if not made.documents:
            return Outcome.KEPT
        documents = await trio.to_thread.run_sync(self._with_kept, made)
        if await self._serves(documents, nodes):
            self.judged = Judgement()
            return Outcome.UNCHANGED
        self.judged = await judge(made.samples, self.config.formats, self.about, self.ask)
        if refused := self.judged.refused:
            self._refused |= refused
            return await self.publish(decision)  # without them
        if self.judged.faults:
            documents = await self._without_faults(made)
            if await self._serves(documents, nodes):
                return Outcome.UNCHANGED
        await self._write(documents, decision)
        return Outcome.PUBLISHED

    @property
    def fault(self) -> Outcome | None:
        """What became of the formats that keep an older document; None if all are well."""
        if not self.judged.faults:
            return None
        return Outcome.FAILED if self.judged.unasked else Outcome.REFUSED

    async def _without_faults(self, made: Files) -> dict[str, bytes]:
        """The documents to serve while some formats are at fault.

        Raises:
            PublishError: all are.
        """
        fit = made.without(self.judged.faults)
        self.notes = fit.notes
        if not fit.documents:
            outcome, words = self.fault or Outcome.REFUSED, "; ".join(self.judged.faults.values())
            raise PublishError(self.config.name, outcome, words)
        return await trio.to_thread.run_sync(self._with_kept, fit)

    async def _withdraw(self) -> None:
        """Let the tokens of users that are gone lead nowhere, whatever the gate holds back.

        Raises:
            PublishError: one still does.
        """
        tokens = self.users.tokens if self.users else ()
        try:
            await trio.to_thread.run_sync(self.directory.withdraw, tokens)
        except OSError as why:
            raise self._unwritable(why) from why

    async def _render(self, nodes: tuple[Node, ...], floor: int) -> Files:
        render = partial(user_files, users=self.users) if self.users else common_files
        call = partial(
            render,
            nodes,
            names=self.config.formats,
            about=self.about,
            floor=floor,
            refused=self._refused,
        )
        return await trio.to_thread.run_sync(call)

    def _with_kept(self, made: Files) -> dict[str, bytes]:
        """The new documents, and those served now of formats for which there is no new one."""
        kept = {name: self.directory.read(name) for name in made.kept}
        return made.documents | {name: was for name, was in kept.items() if was is not None}

    async def _serves(self, documents: dict[str, bytes], nodes: tuple[Node, ...]) -> bool:
        """Whether just this is being served: documents, nodes, and what is told of them."""
        ids = tuple(node.id for node in nodes)
        if not await trio.to_thread.run_sync(self.directory.holds, documents):
            return False
        if self.published is None or self.published.nodes != ids:
            notes = self.notes
            self.load()  # after a failure behind the flip, or a reload amid another's
            self.notes = notes
        return (self.published is not None and self.published.nodes == ids) and (
            self._told == self.notes
        )

    async def _write(self, documents: dict[str, bytes], decision: Decision) -> None:
        """Write a new generation and flip to it.

        Raises:
            PublishError: it could not be written.
        """
        memory = after_publishing(decision, self.clocks.monotonic())
        about = {"publication": self.config.name, **_about(decision), **self.notes.told()}
        write = partial(
            self.directory.publish,
            documents,
            nodes=memory.published,
            about=about,
            now=self.clocks.wall(),
            removals=[self.clocks.to_wall(at) for at in memory.removals],
        )
        try:
            # Never abandoned half-way: a thread that was begun is waited for, even at the end.
            self.published = await trio.to_thread.run_sync(write)
            self.memory, self._told = memory, self.notes
        except OSError as why:
            if self.directory.current() != self.published:
                self.load()  # it failed behind the flip: the brake must know what was removed
            raise self._unwritable(why) from why

    def _unwritable(self, why: OSError) -> PublishError:
        words = f"cannot write {why.filename or self.config.directory}: {why.strerror}"
        return PublishError(self.config.name, Outcome.FAILED, words)


def _notes_of(meta: bytes | None) -> Notes:
    """What meta.json tells of what is not in the documents; nothing, where it is of no use."""
    try:
        found = json.loads(meta or b"{}")
        told = (found.get(key, {}) for key in ("left_out", "not_written", "users"))
        return Notes(*map(dict, told))
    except (ValueError, TypeError, AttributeError):
        return Notes()


def _about(decision: Decision) -> dict[str, object]:
    """What meta.json tells of the decision."""
    return {
        "mode": decision.mode,
        "eligible": decision.eligible,
        "in_service": decision.in_service,
        "floor": decision.floor,
        "held": list(decision.held),
        "why": decision.why,
    }
