"""How the API reads what it is sent, and writes things down."""

from starlette.requests import Request

from healthd.verdict import decision

MOST = 65536
"""Bytes of a request's body; an override takes a few hundred."""


def utc(wall: float | None) -> str | None:
    """Wall-clock seconds as "2026-11-24T03:12:40Z", in the same words as the gate's reasons."""
    return None if wall is None else decision.utc(wall)


async def read_body(request: Request) -> bytes:
    """The body of a request.

    Raises:
        ValueError: it is too long, or does not tell its length.
    """
    length = request.headers.get("content-length", "")
    if not length.isdecimal() or int(length) > MOST:
        raise ValueError(f"the request must tell its length, of at most {MOST} bytes")
    return await request.body()
