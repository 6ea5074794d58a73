"""The one place that knows whether the monitor itself can be trusted.

While anything here is at fault, nothing that probes say is acted upon: what is published stays. The
faults are kept apart by kind, each in words that name the mend:

    line          the control request of a client, or the direct check, got no good answer
    loop          the event loop stood still
    descriptors, memory, disk   hardly any left; see :mod:`healthd.probing.resources`
    spawn         engine clients do not start, of no engine that is in use

The line is asked for even when all is quiet: by a direct check, whenever nothing has proved it for
an interval. While it is bad, a direct check is made every few seconds, and only an answer that came
directly, or past the nodes through a client, makes it good again. One that came through a node does
not: where the check URLs are reachable through the nodes only, no failure can be confirmed.
"""

from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum

import structlog
import trio

from healthd.engines.dialect import EngineName

log = structlog.get_logger()

AGAIN = 2.0
"""Seconds between direct checks while the line is bad; half of the interval, if that is less."""

SPAWN_FAILURES = 2
"""Failed starts in a row that are a fault; a single one may be an accident of its client."""

_STARTED = {"ready", "refused"}
"""Outcomes by which the engine showed that it runs."""


class Fault(StrEnum):
    """What may be wrong with the monitor."""

    LINE = "line"
    LOOP = "loop"
    DESCRIPTORS = "descriptors"
    MEMORY = "memory"
    DISK = "disk"
    SPAWN = "spawn"


SHORTAGES = (Fault.DESCRIPTORS, Fault.MEMORY, Fault.DISK)
"""Faults of which the machine has too little."""

_LATE = "the event loop stood still for over 2 s; give the monitor more CPU, or fewer nodes"
_CONTROL = (
    "no self-check URL answers past the nodes, through an engine client; check this machine's "
    "network and DNS, or self_check.urls"
)
_DIRECT = (
    "no self-check URL answers this machine ({}); check its network and DNS, or self_check.urls"
)
_SPAWN = "engine clients do not start; 'healthd engines' may tell why, the results of probes do"


class SelfCheck:
    """What is wrong with the monitor now.

    Args:
        ask_directly: Makes the direct check: None when the line is good, else what is wrong.
        interval: Seconds without any proof after which the line is asked for, and seconds that a
            loop that stood still is not trusted.
        on_change: Told whether all is well, and the faults in words, when a fault comes or goes.
    """

    def __init__(
        self,
        ask_directly: Callable[[], Awaitable[str | None]],
        interval: float,
        on_change: Callable[[bool, Mapping[Fault, str]], None] = lambda _, __: None,
    ) -> None:
        self._ask_directly = ask_directly
        self._interval = interval
        self._on_change = on_change
        self.faults: Mapping[Fault, str] = {}
        """Each fault in words. Replaced, never changed: a thread may hold it."""
        self._due = float("-inf")
        self._stirred = trio.Event()
        self._past_good_at = float("-inf")
        self._line_bad_until = float("-inf")
        self._late = trio.Event()
        self._late_until = float("-inf")
        self._failed_starts: dict[EngineName, int] = {}

    @property
    def ok(self) -> bool:
        """Whether there is no fault."""
        return not self.faults

    def line_was_bad(self, since: float) -> bool:
        """Whether the line was known to be bad at any time since then (monotonic seconds)."""
        return Fault.LINE in self.faults or self._line_bad_until >= since

    def apply(self, ask_directly: Callable[[], Awaitable[str | None]], interval: float) -> None:
        """Take up another check, or another interval; the line is asked for at once."""
        self._ask_directly, self._interval = ask_directly, interval
        self._due = float("-inf")
        self._stirred.set()

    # --- what others notice ---

    def note_control(self, good: bool) -> None:
        """A control request was answered, well or not."""
        if good:
            self._past_good_at = trio.current_time()
            self._line_is_good()
        elif Fault.LINE not in self.faults:
            self._line_is_bad(_CONTROL)

    def note_success(self) -> None:
        """A node carried a request, so the line is there: no need to ask for it for a while."""
        if Fault.LINE not in self.faults:
            self._due = max(self._due, trio.current_time() + self._interval)

    def engine_start(self, engine: EngineName, outcome: str) -> None:
        """An engine process was started, and how that went; see :class:`Tunnels`.

        While another engine works, one that does not is no fault of the whole monitor: its nodes
        keep their health, the others are judged as ever.
        """
        before = self._failed_starts.get(engine, 0)
        after = self._failed_starts[engine] = 0 if outcome in _STARTED else before + 1
        if after == SPAWN_FAILURES:
            log.error("engine_does_not_start", engine=engine, why=_SPAWN)
        elif after == 0 and before >= SPAWN_FAILURES:
            log.info("engine_starts_again", engine=engine)
        failing = min(self._failed_starts.values()) >= SPAWN_FAILURES
        self._change({Fault.SPAWN: _SPAWN if failing else None})

    def note_late(self) -> None:
        """The event loop stood still."""
        self._late_until = trio.current_time() + self._interval
        self._late.set()
        self._change({Fault.LOOP: _LATE})

    def note_shortages(self, shortages: Mapping[Fault, str]) -> None:
        """What the machine is short of now; all that it does not name is there in plenty."""
        self._change({fault: shortages.get(fault) for fault in SHORTAGES})

    # --- what it finds itself ---

    async def run(self) -> None:
        """Watch the line, and forgive lateness in time, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch_line)
            nursery.start_soon(self._forgive)

    async def _watch_line(self) -> None:
        while True:
            self._stirred = trio.Event()
            with trio.move_on_at(self._due):
                await self._stirred.wait()
            if trio.current_time() >= self._due:
                await self._look()

    async def _look(self) -> None:
        ask, began = self._ask_directly, trio.current_time()
        wrong = await ask()
        if ask is not self._ask_directly:
            return  # a reload came in between: this answer is about what nobody asks any more
        if wrong is None:
            self._line_is_good()
        elif self._past_good_at < began:  # a good answer in the meantime is the younger one
            self._line_is_bad(_DIRECT.format(wrong))

    async def _forgive(self) -> None:
        while True:
            await self._late.wait()
            self._late = trio.Event()
            await trio.sleep_until(self._late_until)
            if not self._late.is_set():  # else it was late again: its time begins anew
                self._change({Fault.LOOP: None})

    def _line_is_good(self) -> None:
        if Fault.LINE in self.faults:
            self._line_bad_until = trio.current_time()
        self._due = trio.current_time() + self._interval
        self._change({Fault.LINE: None})

    def _line_is_bad(self, words: str) -> None:
        self._due = trio.current_time() + min(AGAIN, self._interval / 2)
        self._stirred.set()
        self._change({Fault.LINE: words})

    def _change(self, now: Mapping[Fault, str | None]) -> None:
        """Take up what is known of some faults; tell when one came or went."""
        before, merged = self.faults, {**self.faults, **now}
        self.faults = {fault: words for fault in Fault if (words := merged.get(fault)) is not None}
        if before.keys() != self.faults.keys():
            faults = {str(fault): words for fault, words in self.faults.items()}
            (log.info if self.ok else log.error)("self_check_changed", ok=self.ok, faults=faults)
            self._on_change(self.ok, self.faults)
