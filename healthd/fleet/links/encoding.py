"""Percent-encoding and base64, and what text may hold at all. Pure."""

import base64
import binascii
import re
from urllib.parse import quote, unquote

from healthd.errors import LinkError

_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")


def checked(part: str, text: str) -> str:
    """The text itself, if it is any.

    Raises:
        LinkError: it holds a NUL, or half of a surrogate pair.
    """
    if "\0" in text:
        raise LinkError(part, "holds a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise LinkError(part, "is not UTF-8 text") from None
    return text


def decode(part: str, text: str) -> str:
    """Text behind its percent-encoding.

    Raises:
        LinkError: it is not UTF-8, or holds a NUL.
    """
    try:
        decoded = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise LinkError(part[:32], "is not UTF-8 behind its percent-encoding") from None
    return checked(part[:32], decoded)


def encode(text: str) -> str:
    """Percent-encode all that is not a letter, a digit or one of ``_.-~``."""
    return quote(text, safe="")


def decode_base64(part: str, text: str) -> str:
    """Text behind base64: url-safe or not, padded or not, on one line or several.

    Raises:
        LinkError: it is not base64 of UTF-8 text.
    """
    plain = "".join(text.split()).replace("-", "+").replace("_", "/")
    if not _BASE64.fullmatch(plain):
        raise LinkError(part, "is not base64")
    plain = plain.rstrip("=")
    try:
        decoded = base64.b64decode(plain + "=" * (-len(plain) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise LinkError(part, "is not base64 of UTF-8 text") from None
    return checked(part, decoded)


def unfold(rest: str) -> str:
    """A link whose whole body is base64, without the line breaks that mail puts into it."""
    body, mark, name = rest.partition("#")
    return rest if "@" in body else "".join(body.split()) + mark + name
