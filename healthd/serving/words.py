"""How the API writes things down."""

from healthd.verdict import decision


def utc(wall: float | None) -> str | None:
    """Wall-clock seconds as "2026-11-24T03:12:40Z", in the same words as the gate's reasons."""
    return None if wall is None else decision.utc(wall)
