"""Subscriptions: find out which form an answer has, and read it. Pure.

    base64 of any other form, mostly of links    v2rayN's form, the usual one
    share links, one a line
    YAML with ``proxies``                        Clash, mihomo
    JSON with ``outbounds``, each with a type    sing-box
    JSON with ``outbounds``, each with protocol  Xray; also a list of such configurations
    JSON with ``servers``                        SIP008

A panel in trouble answers with something else: a login page, an error in JSON, nothing at all. That
is :class:`Unreadable`, in words that say what came. Nothing of an answer is ever quoted: all of it
may be secret. All forms are read in time linear in their length, whatever they hold.
"""

import base64
import binascii
import re
from collections.abc import Iterator

from healthd.fleet import clash, documents, plain, singbox, sip008, xray_json
from healthd.fleet.fields import Json
from healthd.fleet.reading import Candidate, Entry, LeftOut, Outcome, Reading, Unreadable, gather

__all__ = ["MOST_BYTES", "Entry", "LeftOut", "Outcome", "Reading", "Unreadable", "read"]

MOST_BYTES = 64 * 2**20
"""No answer may be longer; the shell has a lower limit of its own for each source."""

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_LINK = re.compile(r"^[ \t]*[A-Za-z][A-Za-z0-9+.-]{0,31}://", re.MULTILINE)
_YAML = re.compile(r"^[\"']?(?:proxies|proxy-groups|proxy-providers)[\"']?[ ]*:", re.MULTILINE)
_COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"PK\x03\x04")


def read(body: bytes, *, max_nodes: int) -> Reading:
    """What a subscription holds.

    Raises:
        Unreadable: it is none, or has more nodes than ``max_nodes``.
    """
    text = _text(body)
    return gather(_candidates(_unpacked(text)), max_nodes)


def _text(body: bytes) -> str:
    if len(body) > MOST_BYTES:
        raise Unreadable(f"the answer is longer than {MOST_BYTES >> 20} MiB")
    if body.startswith(_COMPRESSED):
        raise Unreadable("the answer is a compressed file")
    if b"\0" in body:
        raise Unreadable("the answer is binary data, or text in UTF-16")
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Unreadable("the answer is binary data, or text that is not UTF-8") from None
    text = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    if not text:
        raise Unreadable("the answer is empty")
    return text


def _unpacked(text: str) -> str:
    """The text behind base64, if it is that."""
    packed = "".join(text.split())
    if not _BASE64.fullmatch(packed):
        return text
    packed = packed.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        body = base64.b64decode(packed + "=" * (-len(packed) % 4))
        return _text(body)
    except (binascii.Error, Unreadable):  # "No such user" could be base64, too
        return text


def _candidates(text: str) -> Iterator[Candidate]:
    if text.startswith("<"):
        raise Unreadable("the answer is an HTML page")
    if text.startswith(("{", "[")):
        return _in_json(documents.parse_json(text))
    if _YAML.search(text):
        return clash.candidates(documents.proxies(text))
    if _LINK.search(text) or text.startswith("#"):  # a list that is empty but for its headers
        return plain.candidates(text)
    raise Unreadable("the answer is text, but no form of subscription that is known here")


def _in_json(document: Json) -> Iterator[Candidate]:
    if isinstance(document, list):
        return _in_list(document)
    assert isinstance(document, dict)  # noqa: S101 - the text begins with a brace
    for key, candidates in (("proxies", clash.candidates), ("servers", sip008.candidates)):
        if isinstance(found := document.get(key), list):
            return candidates(found)
    if isinstance(outbounds := document.get("outbounds"), list):
        if any(isinstance(each, dict) and "protocol" in each for each in outbounds):
            return xray_json.candidates([document], listed=False)
        return singbox.candidates(outbounds)
    raise Unreadable("the answer is JSON, but no form of subscription that is known here")


def _in_list(documents_in: list[Json]) -> Iterator[Candidate]:
    objects = [each for each in documents_in if isinstance(each, dict)]
    if any("outbounds" in each for each in objects):
        return xray_json.candidates(documents_in, listed=True)
    if any("server" in each and "method" in each for each in objects):
        return sip008.candidates(documents_in)  # as SIP008's predecessor had it
    raise Unreadable("the answer is JSON, but no form of subscription that is known here")
