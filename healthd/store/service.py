"""The store as the daemon uses it: cheap notes from any task, written behind its back in batches.

Whatever is wrong with the file is told once, and the daemon goes on without it: what waits is
bounded, and written when the file works again.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from healthd.config import StoreConfig
from healthd.errors import StoreError
from healthd.store.database import Database
from healthd.store.health import Health
from healthd.store.news import News
from healthd.store.opening import Opener
from healthd.store.reading import Loaded
from healthd.store.writer import OneThread, Writer
from healthd.store.writing import NotedPublication, NotedTransition, Watched
from healthd.verdict.board import Record
from healthd.verdict.ledger import Ledger
from healthd.verdict.machine import Transition
from healthd.verdict.overrides import Override, unexpired
from healthd.verdict.trace import Recorded

FILE = "healthd.db"
"""Its name in the state directory."""


class Store:
    """The store of one run.

    Args:
        path: The file.
        config: How long what is kept; may be replaced.
        interval: Gives the seconds of a slot, for the ledger.
        wall: The wall clock.
        on_health: Told when the store breaks, and when it works again.
        on_overrides: Told all overrides when they could not be read at the start, but can be now.
    """

    def __init__(
        self,
        path: Path,
        config: StoreConfig,
        *,
        interval: Callable[[], float],
        wall: Callable[[], float],
        on_health: Callable[[bool], None],
        on_overrides: Callable[[tuple[Override, ...]], None] = lambda _: None,
    ) -> None:
        self.config = config
        self._wall = wall
        self._on_overrides = on_overrides
        self._was_read = False
        self._news = News()
        self._health = Health(path, on_health)
        database = Database(path)
        self._opener = Opener(database, wall)
        self._writer = Writer(
            database,
            self._opener,
            config=lambda: self.config,
            news=self._news,
            health=self._health,
            interval=interval,
            wall=wall,
            on_opened=self._read_late,
            beside=OneThread(),
        )

    @property
    def problem(self) -> str | None:
        """What is wrong with the store, in words."""
        return self._health.problem

    @property
    def ok(self) -> bool:
        """Whether the store works."""
        return self._health.problem is None

    @property
    def ledger(self) -> Ledger:
        """Where slots are counted."""
        return self._news.ledger

    def open_and_load(self) -> Loaded:
        """Open the file and read what the last run left; blocks. Never raises for trouble with it.

        What cannot be written may still be read: then it is.
        """
        try:
            loaded = self._opener.open()
        except StoreError as why:
            self._health.failed(why)
            glimpsed = self._opener.glimpse()
            if glimpsed is None:
                return Loaded(problem=str(why))
            loaded = replace(glimpsed, problem=str(why))
        self._was_read = True
        self._news.overrides = loaded.overrides  # a file that is begun anew needs them
        return loaded

    def note_transition(
        self, node_id: str, transition: Transition, wall: float, detail: str = ""
    ) -> None:
        """A node's health changed at ``wall``; ``detail`` is the probe's words."""
        noted = NotedTransition(node_id, transition, wall, detail)
        self._news.pending.note_transition(noted)
        self._writer.hasten()

    def note_publication(
        self,
        publication: str,
        generation: int,
        mode: str,
        *,
        nodes: Sequence[str],
        added: Iterable[str],
        removed: Mapping[str, str],
        wall: float,
    ) -> None:
        """A generation was written at ``wall``; ``removed`` tells why, by node id."""
        noted = NotedPublication(
            publication, generation, mode, tuple(nodes), tuple(added), dict(removed), wall
        )
        self._news.pending.note_publication(noted)

    def note_result(self, node_id: str, recorded: Recorded) -> None:
        """A probe ended; kept only if the configuration says so."""
        if self.config.results:
            self._news.pending.results.note(node_id, recorded)

    def set_overrides(self, laid: Sequence[Override]) -> None:
        """These are the overrides now, in the order in which they were made."""
        self._news.overrides = tuple(laid)

    def watched_are(self, nodes: Iterable[str], publications: Iterable[str], wall: float) -> None:
        """These are the nodes and publications of the configuration, from ``wall`` on."""
        self._news.watched = Watched(frozenset(nodes), frozenset(publications), wall)

    async def flush(self) -> bool:
        """Write everything that waits; return whether it is known to be in the file."""
        return await self._writer.flush()

    async def run(self, records: Iterable[Record]) -> None:
        """Write until cancelled, and once more on the way out.

        Args:
            records: The fleet; gone through for each batch.
        """
        await self._writer.run(records)

    def _read_late(self, loaded: Loaded) -> None:
        """What operators wanted before holds as well, below what they want in this run."""
        if self._was_read:
            return
        self._was_read = True
        laid = self._news.overrides or ()
        patterns = {each.pattern for each in laid}
        kept = unexpired(loaded.overrides, self._wall())
        if found := [each for each in kept if each.pattern not in patterns]:
            self._news.overrides = (*found, *laid)
            self._on_overrides(self._news.overrides)
