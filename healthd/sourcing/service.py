"""The sources of the configuration: one task each, and the fleet that they make together."""

import difflib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import structlog
import trio

from healthd.config import SourceConfig
from healthd.errors import SourceError
from healthd.fleet import joining
from healthd.model import Node
from healthd.sourcing.shelf import Shelf
from healthd.sourcing.source import Beside, Fetcher, Source
from healthd.sourcing.status import Status
from healthd.verdict import schedule

log = structlog.get_logger()

RETRY = 60.0
"""Seconds until a source that fails is asked again, or its refresh if that is shorter."""


@dataclass(slots=True)
class _Task:
    source: Source
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)


class Sources:
    """All sources.

    Args:
        nursery: Where their tasks live.
        fetcher: Asks one of them.
        shelf: Where good answers are kept.
        changed: Called when the nodes of one have changed.
        wall: The wall clock.
        beside: Runs what blocks.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        fetcher: Fetcher,
        shelf: Shelf,
        *,
        changed: Callable[[], None],
        wall: Callable[[], float] = time.time,
        beside: Beside = trio.to_thread.run_sync,
    ) -> None:
        self._nursery = nursery
        self._shelf = shelf
        self._changed = changed
        self._wall = wall
        self._beside = beside
        self._make = partial(Source, fetcher=fetcher, shelf=shelf, wall=wall, beside=beside)
        self._tasks: dict[str, _Task] = {}
        self._twins: Mapping[str, int] = {}

    async def recall(self, configs: Sequence[SourceConfig]) -> None:
        """Take up what the last run kept, before anything else; asks nobody yet."""
        self._tasks = {config.name: _Task(self._make(config)) for config in configs}
        await self._clear(self._shelf.sweep)
        await self._forget_others()
        for task in self._tasks.values():
            await task.source.recall()

    def start(self) -> None:
        """Begin to ask them."""
        for task in self._tasks.values():
            self._nursery.start_soon(self._attend, task)

    def apply(self, configs: Sequence[SourceConfig]) -> None:
        """Take up other sources. Those that are the same keep their task, all keep their nodes."""
        before, self._tasks = self._tasks, {}
        for config in configs:
            task = before.pop(config.name, None)
            if task is None:
                task = _Task(self._make(config))
            elif task.source.config == config:
                self._tasks[config.name] = task
                continue
            else:
                task.scope.cancel(reason="the source's configuration changed")
                task.source.reconfigure(config)
                task = _Task(task.source)
            self._tasks[config.name] = task
            self._nursery.start_soon(self._attend, task)
        for task in before.values():
            task.scope.cancel(reason="the source left the configuration")
            self._nursery.start_soon(self._drop, task.source)

    def join(self, configured: Sequence[Node]) -> tuple[Node, ...]:
        """The whole fleet in failover order: the nodes of the configuration, and the sources'."""
        by_source = {name: task.source.nodes for name, task in self._tasks.items()}
        joined = joining.join(configured, by_source)
        self._twins = joined.duplicates
        return joined.fleet

    def all_known(self) -> bool:
        """Whether each told its nodes, in an earlier run if need be, or had its chance to."""
        return all(task.source.known for task in self._tasks.values())

    def statuses(self) -> list[Status]:
        """How they are, in the order of the configuration."""
        return [
            _less_twins(task.source.status(), self._twins.get(name, 0))
            for name, task in list(self._tasks.items())
        ]

    async def accept(self, name: str, author: str) -> tuple[int, int]:
        """Take a refused answer; return how many nodes the source had, and has now.

        Raises:
            SourceError: there is no such source, or nothing to accept.
        """
        if name not in self._tasks:
            near = difflib.get_close_matches(name, self._tasks, 1)
            words = f"did you mean {near[0]!r}?" if near else "see `healthd source list`"
            raise SourceError(name, f"is not in the configuration; {words}")
        counts = await self._tasks[name].source.accept(author)
        self._changed()
        return counts

    async def _attend(self, task: _Task) -> None:
        source = task.source
        with task.scope:
            # No `bind_contextvars`: tasks that begin with a change are other nodes', too.
            while True:
                if await source.refresh():
                    self._changed()
                await trio.sleep_until(self._next(source))

    def _next(self, source: Source) -> float:
        """When to ask again: each has its own phase of the wall clock's grid."""
        every, now = source.config.refresh, trio.current_time()
        if source.failing:
            return now + min(every, RETRY)
        offset = schedule.phase(f"source {source.config.name}", every)
        return schedule.next_slot(now - self._wall(), offset, every, now)

    async def _drop(self, source: Source) -> None:
        async with source.lock:  # behind what it may be writing at this moment
            await self._forget_others()

    async def _forget_others(self) -> None:
        """Whoever has left the configuration leaves nothing on disk."""
        await self._clear(partial(self._shelf.keep_only, frozenset(self._tasks)))

    async def _clear(self, remove: Callable[[], None]) -> None:
        try:
            await self._beside(remove)
        except OSError as why:
            log.warning("sources_not_cleared", why=why.strerror)


def _less_twins(status: Status, twins: int) -> Status:
    """What others of the fleet have already is a duplicate as well."""
    if not twins:
        return status
    entries = dict(status.entries)
    entries["taken"] = entries.get("taken", 0) - twins
    entries["duplicate"] = entries.get("duplicate", 0) + twins
    return replace(status, nodes=status.nodes - twins, entries=entries)
