"""What the documents of one publication say beside their nodes. Pure."""

import base64
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Self

from healthd.config import PublishConfig
from healthd.model import Node

AUTOMATIC = "Auto"
"""What a client shows for the entry that picks a node by itself, if nobody chose a title."""

_HOUR = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What the documents of one publication say beside their nodes."""

    check_url: str
    """What devices ask through a node to learn whether it works."""
    expect_status: int = 204
    """The answer to that which is right. Only mihomo looks at it."""
    title: str = ""
    """What clients show as the profile's name; one printable line, or empty."""
    client_refresh: float = 3600.0
    """Seconds after which clients are asked to fetch the document again."""

    @classmethod
    def of(cls, table: PublishConfig, check_url: str, expect_status: int) -> Self:
        """What a publication's table asks for."""
        return cls(
            check_url=check_url,
            expect_status=expect_status,
            title=table.title,
            client_refresh=table.client_refresh,
        )


def headers(about: About) -> list[str]:
    """Comment lines for the top of a text, which Hiddify and Happ read like HTTP headers.

    The interval must be a whole number of hours: Hiddify throws at anything else.
    """
    hours = max(1, int(about.client_refresh // _HOUR))
    lines = [f"#profile-update-interval: {hours}"]
    return [f"#profile-title: {_title(about.title)}", *lines] if about.title else lines


def _title(title: str) -> str:
    # What a client would take for an encoded title is encoded as well.
    if title.isascii() and not title.startswith("base64:"):
        return title
    return f"base64:{base64.b64encode(title.encode()).decode()}"


def unique_names(nodes: Sequence[Node], taken: Collection[str]) -> list[str]:
    """A name for each node, in order: its own, with a number behind it where that is taken."""
    known, following, names = set(taken), dict[str, int](), list[str]()
    for node in nodes:
        name = base = node.name
        while name in known:
            following[base] = following.get(base, 1) + 1
            name = f"{base} {following[base]}"
        known.add(name)
        names.append(name)
    return names
