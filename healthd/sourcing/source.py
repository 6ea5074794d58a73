"""One source: what of it is in force, and what its latest answer was worth.

A good answer replaces the one before. Whatever else comes, or does not come, the last good one
stays in force: it is told once, and shown until it is over.
"""

import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Protocol, TypeVar

import structlog
import trio

from healthd.config import SourceConfig
from healthd.errors import SourceError
from healthd.fleet.subscriptions import Reading, Unreadable
from healthd.model import Node
from healthd.sourcing.fetching import Answer, where
from healthd.sourcing.shelf import Kept, Shelf
from healthd.sourcing.status import Fetch, LeftOut, Status
from healthd.sourcing.weighing import Good, Refused, nodes_of_source, place, recall, weigh

log = structlog.get_logger()

SHOWN = 5
"""How many of the entries that became no nodes are shown."""

Fetcher = Callable[[SourceConfig, str], Awaitable[Answer | None]]
"""Asks a source, given the ETag of what we have; None when that is still what it says."""

T = TypeVar("T")


class Beside(Protocol):
    """Runs what blocks, or takes long, beside everything else."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]:
        """Return what it returns."""


class Source:
    """One ``[[sources]]`` table at work.

    Args:
        config: What the table says; may be replaced by :meth:`reconfigure`.
        fetcher: Asks it.
        shelf: Where the last good answer is kept.
        wall: The wall clock.
        beside: Runs what blocks.
    """

    def __init__(
        self,
        config: SourceConfig,
        *,
        fetcher: Fetcher,
        shelf: Shelf,
        wall: Callable[[], float],
        beside: Beside = trio.to_thread.run_sync,
    ) -> None:
        self.config = config
        self.nodes: tuple[Node, ...] = ()
        """The nodes of the answer in force, in its order."""
        self.asked = False
        """Whether it was asked in this run, with whatever success."""
        self.lock = trio.Lock()
        """Held while an answer is taken up and kept."""
        self._fetcher = fetcher
        self._shelf = shelf
        self._wall = wall
        self._beside = beside
        self._good: Good | None = None
        self._refused: Refused | None = None
        self._is_kept: bool | None = None
        """Whether what is in force is on the shelf; None before that was tried."""
        self._trouble = "has not been asked yet"
        self._last_success: float | None = None
        self._fetches: Counter[Fetch] = Counter()

    @property
    def known(self) -> bool:
        """Whether its nodes are known, or it had its chance to tell them."""
        return self.asked or self._good is not None

    @property
    def failing(self) -> bool:
        """Whether something is wrong with it."""
        return bool(self._trouble)

    def status(self) -> Status:
        """How it is now."""
        reading = self._good.reading if self._good else Reading()
        return Status(
            name=self.config.name,
            where=where(self.config),
            why=self._trouble,
            last_success=self._last_success,
            nodes=len(self.nodes),
            entries={str(outcome): count for outcome, count in reading.counts.items()},
            left_out=tuple(LeftOut(each.where, each.why) for each in reading.left_out[:SHOWN]),
            fetches=dict(self._fetches),
            acceptable=self._refused is not None and self._refused.acceptable is not None,
        )

    def reconfigure(self, config: SourceConfig) -> None:
        """Take up other settings; what is in force stays."""
        self.config = config
        self._refused = None  # other limits may hold now
        self._renew()

    async def recall(self) -> None:
        """Take up what the last run kept; without it, it begins anew."""
        name = self.config.name
        async with self.lock:
            try:
                kept = await self._beside(partial(self._shelf.take, name))
                if kept is None:
                    return
                self._good = await self._beside(partial(recall, kept, self.config))
            except (OSError, ValueError, Unreadable) as why:
                log.warning("source_not_recalled", source=name, why=_system_words(why))
            else:
                self._is_kept = True
                self._last_success = kept.fetched_at
                self._renew()
                log.info("source_recalled", source=name, nodes=len(self.nodes))

    async def refresh(self) -> bool:
        """Ask it once; return whether its nodes changed."""
        before = self.nodes
        try:
            answer = await self._fetcher(self.config, self._etag())
        except SourceError as why:
            outcome = Fetch.FAILED
            self._note("source_failed", why.why)
        except Exception as why:  # noqa: BLE001 - no answer may end the daemon, whatever it holds
            outcome = Fetch.FAILED
            fault = f"healthd itself failed to ask it ({place(why)}); report this"
            self._note("source_failed", fault)
        else:
            async with self.lock:
                outcome = await self._weigh(answer)
        self._fetches[outcome] += 1
        self.asked = True
        return self.nodes != before

    async def accept(self, author: str) -> tuple[int, int]:
        """Take the answer that was refused; return how many nodes there were, and are now.

        Raises:
            SourceError: there is none, or nothing in it could be used.
        """
        async with self.lock:
            name, before = self.config.name, len(self.nodes)
            if self._refused is None:
                raise SourceError(name, "no answer was refused: nothing to accept")
            if (good := self._refused.acceptable) is None:
                raise SourceError(name, f"there is nothing to accept: {self._refused.why}")
            log.warning("source_accepted", source=name, author=author)
            await self._put_in_force(good)
            return before, len(self.nodes)

    # --- one answer ---

    async def _weigh(self, answer: Answer | None) -> Fetch:
        if answer is None:
            return await self._still(self._good)
        kept = Kept(answer.body, self._wall(), _origin(self.config), answer.etag)
        good = self._good
        if good is not None and good.kept.body == kept.body:
            return await self._still(replace(good, kept=replace(kept, nodes=good.kept.nodes)))
        if self._refused is None or self._refused.body != kept.body:
            found = await self._judge(kept)
            if isinstance(found, Good):
                await self._put_in_force(found)
                return Fetch.CHANGED
            self._refused = found
        self._note("source_refused", self._refused.why)
        return Fetch.REFUSED

    async def _still(self, good: Good | None) -> Fetch:
        """It says what it said before, if perhaps elsewhere, or under another ETag."""
        self._good = good
        self._settle()
        if good is not None:
            await self._keep(good.kept)
        return Fetch.UNCHANGED

    async def _judge(self, kept: Kept) -> Good | Refused:
        name, limit = self.config.name, self.config.max_nodes
        judge = partial(weigh, kept, name=name, before=len(self.nodes), max_nodes=limit)
        return await self._beside(judge)

    async def _put_in_force(self, good: Good) -> None:
        before = {node.id for node in self.nodes}
        self._good = good
        self._renew()
        now = {node.id for node in self.nodes}
        log.info(
            "source_read",
            source=self.config.name,
            nodes=len(now),
            came=len(now - before),
            went=len(before - now),
            **{str(outcome): count for outcome, count in good.reading.counts.items()},
        )
        self._settle()
        self._is_kept = None
        await self._keep(good.kept)

    async def _keep(self, kept: Kept) -> None:
        """Put it on the shelf, unless it is there; tried again with each answer, told once."""
        if self._is_kept:
            return
        try:
            await self._beside(partial(self._shelf.put, self.config.name, kept))
            self._is_kept = True
        except OSError as why:
            if self._is_kept is None:
                words = _system_words(why)
                log.warning("source_not_kept", source=self.config.name, why=words)
            self._is_kept = False

    def _renew(self) -> None:
        if self._good is not None:
            self.nodes = nodes_of_source(self._good.reading, self.config)

    def _etag(self) -> str:
        """The ETag of what is in force, if this very origin gave it."""
        kept = self._good.kept if self._good else None
        return kept.etag if kept and kept.origin == _origin(self.config) else ""

    # --- what is told ---

    def _settle(self) -> None:
        """All is well: what it says is in force."""
        if self._trouble and self.asked:
            log.info("source_recovered", source=self.config.name, nodes=len(self.nodes))
        self._trouble, self._refused = "", None
        self._last_success = self._wall()

    def _note(self, event: str, why: str) -> None:
        """Something is wrong: told when it is news."""
        if why == self._trouble:
            return
        self._trouble = why
        tell = log.error if event == "source_refused" else log.warning
        tell(event, source=self.config.name, why=why, nodes_kept=len(self.nodes))


def _origin(config: SourceConfig) -> str:
    """Stands for where it is asked; its URL is a secret."""
    return hashlib.sha256(str(config.url or config.file).encode()).hexdigest()


def _system_words(why: Exception) -> str:
    return why.strerror or type(why).__name__ if isinstance(why, OSError) else str(why)
