"""One publication: render, verify, write, flip; or leave everything as it is.

Nothing goes live that has not been read back: every link is parsed again, and the engine itself is
asked whether it takes the Xray configurations.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial

import trio

from healthd.config import PublishConfig
from healthd.engines.xray import last_words
from healthd.errors import EngineFailed, LinkError, PublishError
from healthd.model import Node, redact
from healthd.publishing import links, xray
from healthd.publishing.directory import PublicationDirectory, Published
from healthd.verdict.decision import PANIC, Decision, Memory, after_publishing

Check = Callable[[bytes], Awaitable[str | None]]
"""Asks the engine about one configuration: None, or its words of refusal."""


class Outcome(StrEnum):
    """What became of one attempt to publish."""

    PUBLISHED = "published"
    UNCHANGED = "unchanged"
    KEPT = "kept"
    """The gate wants what is served to stay as it is."""
    REFUSED = "refused"
    """A document did not stand its verification."""
    FAILED = "failed"
    """It could not be written."""


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
    check: Check
    clocks: Clocks
    published: Published | None = None
    memory: Memory = field(default_factory=Memory)
    """What the gate must know of its decisions so far."""

    @property
    def directory(self) -> PublicationDirectory:
        """Where it is written."""
        return PublicationDirectory(self.config.directory)

    def takes(self, node: Node) -> bool:
        """Whether this publication's selection holds the node."""
        return not self.config.select or not node.tags.isdisjoint(self.config.select)

    def load(self) -> None:
        """Take up what is being served: by an earlier run, or before a failure behind the flip."""
        self.published = served = self.directory.current()
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
            PublishError: a document was refused or could not be written; ``outcome`` on it tells
                which. What was served before still is.
        """
        nodes = decision.nodes
        if not nodes:
            return Outcome.KEPT
        documents = await trio.to_thread.run_sync(self.render, nodes)
        if await trio.to_thread.run_sync(self.directory.holds, documents):
            if self.published is None or self.published.nodes != tuple(node.id for node in nodes):
                self.load()  # after a failure behind the flip, or a reload amid another's
            return Outcome.UNCHANGED
        await self._verify(documents, nodes)
        memory = after_publishing(decision, self.clocks.monotonic())
        write = partial(
            self.directory.publish,
            documents,
            nodes=memory.published,
            about={"publication": self.config.name, **_about(decision)},
            now=self.clocks.wall(),
            removals=[self.clocks.to_wall(at) for at in memory.removals],
        )
        try:
            # Never abandoned half-way: a thread that was begun is waited for, even at the end.
            self.published = await trio.to_thread.run_sync(write)
            self.memory = memory
        except OSError as why:
            if self.directory.current() != self.published:
                self.load()  # it failed behind the flip: the brake must know what was removed
            words = f"cannot write {why.filename or self.config.directory}: {why.strerror}"
            raise PublishError(self.config.name, Outcome.FAILED, words) from why
        return Outcome.PUBLISHED

    def render(self, nodes: tuple[Node, ...]) -> dict[str, bytes]:
        """The documents for these nodes, by file name."""
        documents = {}
        if "links" in self.config.formats:
            documents[links.FILE] = links.render(nodes)
        if "xray" in self.config.formats:
            documents[xray.FILE] = xray.render(
                nodes, title=self.config.title, check_url=self.check_url
            )
        return documents

    async def _verify(self, documents: dict[str, bytes], nodes: tuple[Node, ...]) -> None:
        try:
            if links.FILE in documents:
                links.verify(documents[links.FILE], nodes)
            samples = xray.samples(documents[xray.FILE]) if xray.FILE in documents else []
            for sample in samples:
                if (output := await self.check(sample)) is not None:
                    secrets = [secret for node in nodes for secret in node.endpoint.secrets()]
                    words = redact(last_words(output), secrets)
                    raise ValueError(f"{xray.FILE} is refused by Xray: {words}")
        except (ValueError, LinkError) as why:
            raise PublishError(self.config.name, Outcome.REFUSED, str(why)) from why
        except EngineFailed as why:
            words = f"cannot verify {xray.FILE}: {why}"
            raise PublishError(self.config.name, Outcome.FAILED, words) from why


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
