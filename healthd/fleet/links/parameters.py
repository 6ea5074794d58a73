"""A link's parameters: what stands behind its ``?``. Pure."""

from healthd.errors import LinkError, Unsupported
from healthd.fleet.links.encoding import decode

Parameters = dict[str, str]
"""By name, in the link's order. Readers take out what they understand; the rest is kept."""

INSECURE = ("insecure", "allowInsecure", "allow_insecure")
"""Names of the parameter that asks to take any certificate; every client knows other ones."""

ON = ("1", "true")
OFF = ("", "0", "false")


def read(query: str) -> Parameters:
    """The parameters as a dict, in their order.

    Not ``parse_qsl``: it reads ``+`` as a blank, which no writer of share links means.

    Raises:
        LinkError: one has no name, two values, or is not UTF-8.
    """
    found: Parameters = {}
    for pair in filter(None, query.split("&")):
        raw_key, _, raw_value = pair.partition("=")
        key, value = decode("parameters", raw_key), decode(raw_key, raw_value)
        if not key:
            raise LinkError("parameters", "one has no name")
        add(found, key, value)
    return found


def add(found: Parameters, key: str, value: str) -> None:
    """Put one parameter to the others.

    Raises:
        LinkError: it is there, with another value.
    """
    if found.setdefault(key, value) != value:
        raise LinkError(key[:32], "is given twice, with different values")


def take(given: Parameters, name: str, *others: str) -> str:
    """Take out a parameter that has several names. Empty is as good as not given.

    Raises:
        LinkError: two of them are given, and differ.
    """
    found: Parameters = {}
    for key in (name, *others):
        if value := given.pop(key, ""):
            add(found, name, value)
    return found.get(name, "")


def one_of(given: Parameters, key: str, meanings: dict[str, str]) -> str:
    """Take out a parameter, and say which of the meanings we know it has.

    Raises:
        Unsupported: none of them.
    """
    value = given.pop(key, "")
    if value not in meanings:
        known = ", ".join(dict.fromkeys(filter(None, meanings.values())))
        raise Unsupported(key, f"{value[:32]!r} is not supported, only {known}")
    return meanings[value]


def flag(given: Parameters, *names: str) -> bool:
    """Take out a switch that has several names.

    Raises:
        LinkError: it is neither on nor off, or both.
    """
    said = set()
    for name in names:
        value = given.pop(name, "")
        if value and value not in ON + OFF:
            raise LinkError(name, "must be 0 or 1")
        if value:
            said.add(value in ON)
    if len(said) > 1:
        raise LinkError(names[0], "is given twice, with different values")
    return True in said


def listed(text: str) -> tuple[str, ...]:
    """A comma-joined list."""
    return tuple(filter(None, text.split(",")))
