"""How the API writes things down."""

from datetime import UTC, datetime


def utc(wall: float | None) -> str | None:
    """Wall-clock seconds as "2026-11-24T03:12:40Z"."""
    if wall is None:
        return None
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
