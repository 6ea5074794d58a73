"""Lists of share links: plain text, one link a line. Pure."""

import re
from collections.abc import Iterator
from functools import partial

from healthd.fleet import links
from healthd.fleet.reading import Candidate, Unreadable

MOST_LINES = 1_000_000
_LONG = "|".join(scheme for scheme in links.SCHEMES if scheme != "ss")
_NEXT = re.compile(rf"(?<=.)(?=(?:{_LONG}|(?<!vle)(?<!vme)(?<!w)ss)://)", re.IGNORECASE)
"""Where a link begins behind another one: no writer leaves a ``://`` as it is inside a link.
"vless", "vmess" and "wss" end in ``ss``, too."""


def candidates(text: str) -> Iterator[Candidate]:
    """Every link in a line that is neither blank nor a comment.

    Links are glued together by blanks or commas, or by nothing where a file had no last line end.
    Read as one, they would be the first alone, with the credentials of the others in its name.

    To clients a comment such as ``#profile-title: …`` is a header, and none of our business.

    Raises:
        Unreadable: there are too many lines.
    """
    if text.count("\n") > MOST_LINES:
        raise Unreadable(f"the answer has more than {MOST_LINES} lines")
    for number, line in enumerate(text.split("\n"), 1):
        link = line.strip()
        if link and not link.startswith(("#", "//", ";")):
            first, *others = (each.rstrip(" \t,;|") for each in _NEXT.split(link))
            yield f"line {number}", partial(links.parse, first)
            for place, other in enumerate(others, 2):
                yield f"line {number}, link {place}", partial(links.parse, other)
