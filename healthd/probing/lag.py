"""Is our own event loop on time?

A paused virtual machine, a stopped process or a starved CPU makes answers lie unread while
deadlines pass. Who judges by such a deadline blames the nodes for the monitor's sleep.
"""

from collections.abc import Callable

import trio

PERIOD = 0.5
"""Seconds between two looks at the clock."""

LIMIT = 2.0
"""Seconds of lateness from which on nothing that was measured counts."""


class LoopWatch:
    """Notices when the loop stood still.

    Args:
        on_late: Told each time.
    """

    def __init__(self, on_late: Callable[[], None] = lambda: None) -> None:
        self._on_late = on_late
        self._late_at = float("-inf")

    async def run(self) -> None:
        """Look at the clock until cancelled."""
        while True:
            due = trio.current_time() + PERIOD
            await trio.sleep_until(due)
            now = trio.current_time()
            if now - due > LIMIT:
                self._late_at = now
                self._on_late()

    def late_since(self, began: float) -> bool:
        """Whether the loop was late at any time after ``began`` (monotonic seconds)."""
        return self._late_at >= began
