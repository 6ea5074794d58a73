"""Made-up nodes, and hypothesis strategies for them."""

import json
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from healthd.config import VerdictConfig
from healthd.endpoints import FLOWS, Endpoint, Reality, Tls, Vless, fingerprint
from healthd.fleet import links
from healthd.model import Node, Role

USER = "b831381d-6324-4d53-ad4f-8cda48b30811"
PUBLIC_KEY = "acaeUm7I44nRB-Qy2LNGxaxX60fRDdyNbxNlXkvlHlc"
SHORT_ID = "0123456789abcdef"

# A busy machine must not make a property fail: its limit is the suite's, not each example's.
settings.register_profile("healthd", deadline=None)
settings.load_profile("healthd")


def reality(**changes: Any) -> Reality:
    """REALITY as most panels write it."""
    given = {
        "public_key": PUBLIC_KEY,
        "server_name": "www.example.com",
        "fingerprint": "chrome",
        "short_id": SHORT_ID,
    }
    return Reality(**(given | changes))


def tls(**changes: Any) -> Tls:
    """TLS with the two parameters that every link has."""
    return Tls(**({"server_name": "node.example.com", "fingerprint": "chrome"} | changes))


def vless(**changes: Any) -> Vless:
    """An endpoint with REALITY, unless ``security`` says otherwise."""
    given: dict[str, Any] = {
        "address": "192.0.2.10",
        "port": 443,
        "user": USER,
        "security": reality(),
    }
    return Vless(**(given | changes))


def node(
    node_id: str = "de-1",
    *,
    name: str | None = None,
    endpoint: Endpoint | None = None,
    role: Role = Role.FAILOVER,
) -> Node:
    """A node; its name is its id and its endpoint :func:`vless` unless told otherwise."""
    endpoint = endpoint or vless()
    return Node(
        id=node_id,
        name=node_id if name is None else name,
        endpoint=endpoint,
        fingerprint=fingerprint(endpoint),
        role=role,
    )


def nodes(count: int) -> list[Node]:
    """So many nodes, each with an endpoint of its own."""
    return [
        node(f"n{number}", endpoint=vless(address=f"192.0.2.{number}"))
        for number in range(1, count + 1)
    ]


_KNOWN = {
    *("type", "headerType", "encryption", "flow", "security", "sni", "fp", "alpn", "ech"),
    *("vcn", "pcs", "pbk", "sid", "spx", "pqv", "fm", *links.INSECURE),
}


def texts(min_size: int = 0, max_size: int = 20, without: str = "") -> st.SearchStrategy[str]:
    """Any text that a link can carry: everything but NUL."""
    chars = st.characters(codec="utf-8", exclude_characters="\0" + without)
    return st.text(chars, min_size=min_size, max_size=max_size)


_host_names = st.from_regex(
    r"[a-z0-9_][A-Za-z0-9-]{0,20}(\.[A-Za-z0-9_-]{1,20}){0,3}", fullmatch=True
)
_users = st.uuids().map(str) | texts(min_size=1, max_size=9)
_alpn = st.lists(st.sampled_from(["h2", "http/1.1"]) | texts(min_size=1, without=","), max_size=3)
_json = st.dictionaries(texts(), st.none() | st.integers() | texts(), max_size=2).map(json.dumps)
_extra = st.dictionaries(
    texts(min_size=1).filter(lambda key: key not in _KNOWN), texts(), max_size=3
).map(lambda found: tuple(found.items()))
_tls = st.builds(
    Tls,
    server_name=texts(),
    fingerprint=texts(),
    alpn=_alpn.map(tuple),
    ech=texts(),
    verify_names=texts(),
    pinned_sha256=texts(),
)
_reality = st.builds(
    Reality,
    public_key=texts(min_size=1),
    server_name=texts(),
    fingerprint=texts(),
    short_id=texts(),
    spider_x=texts(),
    mldsa65_verify=texts(),
)

any_vless: st.SearchStrategy[Vless] = st.builds(
    Vless,
    address=st.ip_addresses().map(str) | _host_names,
    port=st.integers(1, 65535),
    user=_users,
    flow=st.sampled_from(FLOWS),
    encryption=st.just("none") | texts(min_size=1),
    security=st.none() | _tls | _reality,
    finalmask=st.just("") | _json,
    extra=_extra,
)
"""Every endpoint that a link can describe."""

node_lists: st.SearchStrategy[list[Node]] = st.lists(
    st.builds(lambda endpoint, name: node("n", name=name, endpoint=endpoint), any_vless, texts()),
    min_size=1,
    max_size=4,
)


def _verdict(**given: Any) -> VerdictConfig:
    given["window_failures"] = min(given["window_failures"], given["window"])
    hold = given["damping_hold"]
    if hold:
        given["damping_release"] = min(given["damping_release"], hold - 1)
    return VerdictConfig(**given)


def _seconds(least: int, most: int) -> st.SearchStrategy[str]:
    """A duration in half seconds: sums of such numbers are exact."""
    return st.integers(2 * least, 2 * most).map(lambda half: f"{half * 500}ms")


verdict_rules: st.SearchStrategy[VerdictConfig] = st.just(VerdictConfig()) | st.builds(
    _verdict,
    fall=st.integers(1, 5),
    fall_after=_seconds(0, 30),
    window=st.integers(1, 8),
    window_failures=st.integers(0, 8),
    rise=st.integers(1, 4),
    rise_interval=_seconds(1, 20),
    min_down=_seconds(0, 90),
    probation=_seconds(0, 900),
    down_interval=_seconds(5, 40),
    down_fast_for=_seconds(0, 300),
    down_slow_after=_seconds(300, 3600),
    down_slow_interval=_seconds(10, 200),
    damping_half_life=_seconds(60, 900),
    damping_hold=st.sampled_from([0, 500, 1000, 1500, 2500]),
    damping_release=st.integers(1, 1000),
    damping_cap=st.integers(2500, 4000),
)
"""Rules for a verdict of any kind, from the hasty to the patient."""
