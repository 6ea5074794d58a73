"""How the store is: told when it breaks, when the cause changes, and when it works again."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import structlog

from healthd.errors import StoreError, StoreFault
from healthd.store.pending import Lost, Pending

log = structlog.get_logger()


class Health:
    """Whether the store works. Repetitions are not told.

    Args:
        path: The file, for the log.
        on_change: Told whether it works, at each change.
    """

    def __init__(self, path: Path, on_change: Callable[[bool], None]) -> None:
        self.problem: str | None = None
        self._path = path
        self._on_change = on_change
        self._fault: StoreFault | None = None
        self._lost = Lost()

    def failed(self, why: StoreError) -> None:
        """It does not work."""
        before, self._fault, self.problem = self._fault, why.kind, str(why)
        if before is not why.kind:
            log.error(
                "store_failed", path=why.path, kind=why.kind.value, why=why.why, mend=why.mend
            )
        if before is None:
            self._on_change(False)

    def works(self) -> None:
        """It works."""
        if self._fault is not None:
            log.info("store_recovered", path=str(self._path), lost=asdict(self._lost))
            self._fault, self.problem, self._lost = None, None, Lost()
            self._on_change(True)

    def note_lost(self, pending: Pending) -> None:
        """Count what was given up; the first of it is told."""
        lost = pending.take_lost()
        if lost and not self._lost:
            log.warning("store_overflowed", path=str(self._path), lost=asdict(lost))
        self._lost = self._lost + lost
