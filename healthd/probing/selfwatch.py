"""All that watches the monitor itself, put together: its line, its loop, and what it has left."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from healthd.probing.lag import LoopWatch
from healthd.probing.resources import ResourceWatch
from healthd.probing.selfcheck import Fault, SelfCheck


class SelfWatch:
    """The self-check, and the watches that feed it.

    Args:
        ask_directly: Makes the direct check; see :class:`SelfCheck`.
        interval: Seconds without any proof after which the line is asked for.
        directories: Where the disks are that must not fill.
        on_change: Told whether all is well, and the faults in words.
    """

    def __init__(
        self,
        ask_directly: Callable[[], Awaitable[str | None]],
        interval: float,
        directories: Sequence[Path],
        on_change: Callable[[bool, Mapping[Fault, str]], None],
    ) -> None:
        self.check = SelfCheck(ask_directly, interval, on_change)
        self.loop = LoopWatch(self.check.note_late)
        self.resources = ResourceWatch(directories, self.check.note_shortages)

    def apply(
        self,
        ask_directly: Callable[[], Awaitable[str | None]],
        interval: float,
        directories: Sequence[Path],
    ) -> None:
        """Take up other settings; what is known stays."""
        self.check.apply(ask_directly, interval)
        self.resources.directories = tuple(directories)

    @property
    def services(self) -> tuple[Callable[[], Awaitable[None]], ...]:
        """What must run for it to work."""
        return (self.check.run, self.resources.run, self.loop.run)
