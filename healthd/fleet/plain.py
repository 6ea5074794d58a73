"""Lists of share links: plain text, one link a line. Pure."""

from collections.abc import Iterator
from functools import partial

from healthd.fleet import links
from healthd.fleet.reading import Candidate, Unreadable

MOST_LINES = 1_000_000


def candidates(text: str) -> Iterator[Candidate]:
    """Every line that is neither blank nor a comment.

    To clients a comment such as ``#profile-title: …`` is a header, and none of our business.

    Raises:
        Unreadable: there are too many lines.
    """
    if text.count("\n") > MOST_LINES:
        raise Unreadable(f"the answer has more than {MOST_LINES} lines")
    for number, line in enumerate(text.split("\n"), 1):
        link = line.strip()
        if link and not link.startswith(("#", "//", ";")):
            yield f"line {number}", partial(links.parse, link)
