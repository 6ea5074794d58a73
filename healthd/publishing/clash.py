"""clash.yaml: a whole configuration of mihomo, which fails over on the device by itself. Pure.

A `fallback` group takes the first node of the list that works, so the failover order is the
device's too; a `url-test` group takes the fastest, and a `select` group on top of both lets people
choose. The groups' defaults are lax (any status counts, nothing is asked while nobody uses the
group), so all of it is said.

Each proxy and group is one line of JSON, which YAML reads as well.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

import yaml

from healthd.model import Node
from healthd.publishing.about import About, headers, unique_names
from healthd.publishing.clash_limits import why_not
from healthd.publishing.clash_proxy import proxy

__all__ = ["FILE", "render", "verify", "why_not"]

FILE = "clash.yaml"

SELECT, FALLBACK, FASTEST = "PROXY", "FAILOVER", "FASTEST"
_TAKEN = {
    *(SELECT, FALLBACK, FASTEST),
    # mihomo's own; a proxy of that name makes it refuse the configuration.
    *("DIRECT", "REJECT", "REJECT-DROP", "COMPATIBLE", "PASS", "PASS-RULE", "GLOBAL"),
}

_INTERVAL = 60
"""Seconds between two tests of every node."""
_TIMEOUT = 5000
"""Milliseconds until a test counts as failed."""
_FAILURES = 2
"""Failed connections after which a group tests at once."""
_TOLERANCE = 50
"""Milliseconds by which another node must be faster."""

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
# What JSON may hold as it is and YAML may not: control characters, other line ends, the byte order
# mark and what is no character at all.
_UNREADABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def render(nodes: Sequence[Node], about: About) -> bytes:
    """The document for these nodes, in failover order. At least one; all pass :func:`why_not`."""
    names = unique_names(nodes, _TAKEN)
    proxies = [proxy(node.endpoint, name) for node, name in zip(nodes, names, strict=True)]
    lines = [
        *headers(about),
        "mixed-port: 7890",
        "mode: rule",
        "proxies:",
        *(f"- {_encode(each)}" for each in proxies),
        "proxy-groups:",
        *(f"- {_encode(each)}" for each in _groups(names, about)),
        "rules:",
        f"- MATCH,{SELECT}",
        "",
    ]
    return _UNREADABLE.sub(_escaped, "\n".join(lines)).encode()


def verify(document: bytes, nodes: Sequence[Node]) -> None:
    """Read the document as a client would; it must hold exactly these nodes, in every group.

    Raises:
        ValueError: it does not.
    """
    names = unique_names(nodes, _TAKEN)
    try:
        found = yaml.load(document, _Loader)  # noqa: S506 - it is derived from the safe one
        proxies = found["proxies"]
        groups = {each["name"]: each["proxies"] for each in found["proxy-groups"]}
    except (yaml.YAMLError, ValueError, LookupError, TypeError) as why:
        raise ValueError(f"{FILE} is not a configuration of mihomo") from why
    if proxies != [proxy(node.endpoint, name) for node, name in zip(nodes, names, strict=True)]:
        raise ValueError(f"{FILE} does not read back as the nodes it was written from")
    if groups != {SELECT: [FALLBACK, FASTEST, *names], FALLBACK: names, FASTEST: names}:
        raise ValueError(f"{FILE} lacks a node in one of its groups")


def _groups(names: list[str], about: About) -> list[dict[str, Any]]:
    test = {
        "proxies": names,
        "url": about.check_url,
        "interval": _INTERVAL,
        "timeout": _TIMEOUT,
        "lazy": False,
        "expected-status": about.expect_status,
        "max-failed-times": _FAILURES,
    }
    return [
        {"name": SELECT, "type": "select", "proxies": [FALLBACK, FASTEST, *names]},
        {"name": FALLBACK, "type": "fallback", **test},
        {"name": FASTEST, "type": "url-test", "tolerance": _TOLERANCE, **test},
    ]


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


# The one in C is ten times as fast; it is there unless PyYAML was built without libyaml.
_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
