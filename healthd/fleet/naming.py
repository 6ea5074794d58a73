"""Names from strangers, made fit for a list, a log and a file. Pure."""

import re

LONGEST_NAME = 200
"""Characters, as for names in the configuration."""

_UNSEEN = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]+"
)
"""Control characters, line ends, halves of surrogate pairs, and what turns the direction of
writing; joiners stay, flags and other emoji are made with them."""


def clean_name(name: str) -> str:
    """A name on one line, without anything that cannot be seen; may be empty."""
    return " ".join(_UNSEEN.sub(" ", name).split())[:LONGEST_NAME].rstrip()
