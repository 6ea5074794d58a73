"""Made-up nodes, and hypothesis strategies for them."""

from typing import Any

from hypothesis import strategies as st

from healthd.config import VerdictConfig
from healthd.endpoints import Endpoint, Reality, Tls, Vless, fingerprint
from healthd.model import Node, Role
from tests.strategies import any_vless, texts

USER = "b831381d-6324-4d53-ad4f-8cda48b30811"
PUBLIC_KEY = "acaeUm7I44nRB-Qy2LNGxaxX60fRDdyNbxNlXkvlHlc"
SHORT_ID = "0123456789abcdef"


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
