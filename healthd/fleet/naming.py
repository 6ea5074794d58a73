"""Names from strangers, made fit for a list, a log and a file. Pure."""

import re

LONGEST_NAME = 200
"""Characters, as for names in the configuration."""

_UNSEEN = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]+"
)
"""Control characters, line ends, halves of surrogate pairs, and what turns the direction of
writing; joiners stay, flags and other emoji are made with them."""
_LINK = re.compile(
    r"(?:vless|vmess|trojan|hysteria2?|hy2|tuic|anytls|(?<!w)ssr?)://\S*",
    re.IGNORECASE,
)
"""Another node's share link: its credentials would be shown to everybody who sees the name."""


def clean_name(name: str) -> str:
    """A name on one line, without share links and what cannot be seen; may be empty."""
    return " ".join(_LINK.sub(" ", _UNSEEN.sub(" ", name)).split())[:LONGEST_NAME].rstrip()
