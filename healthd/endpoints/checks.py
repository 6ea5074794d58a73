"""What is wrong with a part of an endpoint, and the checks that several classes share."""

import base64
import binascii
import json


class EndpointFault(ValueError):
    """No server can be like that. ``part`` names the part, as share links call it.

    ``unsupported``: it is a choice that is not on our list, but may be on a newer one.
    """

    def __init__(self, part: str, why: str, *, unsupported: bool = False) -> None:
        self.part = part
        self.why = why
        self.unsupported = unsupported
        super().__init__(f"{part}: {why}")


def check_list(part: str, texts: tuple[str, ...]) -> None:
    """Links join such a list by commas."""
    if any(not text or "," in text for text in texts):
        raise EndpointFault(part, "has an empty element, or one with a comma")


def check_choice(part: str, value: str, allowed: tuple[str, ...], *, quoted: bool = True) -> None:
    """The value is one of those we know.

    The start of another is told, it names a choice; not so where a secret stands beside it, which
    may have taken its place.
    """
    if value not in allowed:
        known = ", ".join(filter(None, allowed))
        told = repr(value[:32]) if quoted else "this one"
        why = f"{told} is not supported, only {known}"
        raise EndpointFault(part, why, unsupported=True)


def check_json_object(part: str, text: str) -> None:
    """Text that an engine will be given as JSON; empty is fine."""
    if text and not is_json_object(text):
        raise EndpointFault(part, "must be a JSON object")


def is_json_object(text: str) -> bool:
    """Whether a text is a JSON object that can be passed on."""
    try:
        parsed = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return False
    return isinstance(parsed, dict) and encodable(json.dumps(parsed, ensure_ascii=False))


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is JavaScript, not JSON")


def is_key(text: str, length: int) -> bool:
    """Whether a text is so many bytes in base64."""
    try:
        return len(base64.b64decode(text, validate=True)) == length
    except (binascii.Error, ValueError):
        return False


def encodable(text: str) -> bool:
    """Whether it can be written as UTF-8: half of a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
