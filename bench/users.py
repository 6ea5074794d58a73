"""CPU seconds of one publication for many users: every user's files are his own.

Each case renders, verifies and writes as the daemon does, only that the engines are not asked. A
fleet of ten kinds of nodes in turn; half of the users are of a tier that has half of the nodes.
Usage: python bench/users.py [--users 1000] [--nodes 10,20] [--profile]
"""

import argparse
import base64
import cProfile
import pstats
import secrets
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import trio

from healthd.config import PublishConfig
from healthd.endpoints import (
    Endpoint,
    Grpc,
    Hysteria2,
    QuicTls,
    Reality,
    Shadowsocks,
    Tls,
    Trojan,
    Tuic,
    Vless,
    Vmess,
    WebSocket,
    Xhttp,
    fingerprint,
)
from healthd.engines.dialect import EngineName
from healthd.model import Node
from healthd.publishing.publisher import Clocks, Outcome, Publication
from healthd.publishing.users import User, Users
from healthd.verdict.decision import Decision, Mode

UUID = "b831381d-6324-4d53-ad4f-8cda48b30811"
PROBE = "probe"
KEY = base64.b64encode(bytes(range(16))).decode()
REALITY = Reality(
    public_key="acaeUm7I44nRB-Qy2LNGxaxX60fRDdyNbxNlXkvlHlc",
    server_name="www.example.com",
    fingerprint="chrome",
    short_id="0123456789abcdef",
)
TLS = Tls(server_name="node.example.com", fingerprint="chrome")
QUIC = QuicTls(server_name="node.example.com", alpn=("h3",))
SIP022 = "2022-blake3-aes-128-gcm"

KINDS: list[Callable[[str, int], Endpoint]] = [
    lambda a, p: Vless(address=a, port=p, user=UUID, flow="xtls-rprx-vision", security=REALITY),
    lambda a, p: Vless(
        address=a, port=p, user=UUID, security=REALITY, transport=Xhttp(path="/x", mode="auto")
    ),
    lambda a, p: Vless(
        address=a, port=p, user=UUID, security=REALITY, transport=Grpc(service="update")
    ),
    lambda a, p: Vless(
        address=a,
        port=p,
        user=UUID,
        security=TLS,
        transport=WebSocket(path="/ws?ed=2048", host="node.example.com"),
    ),
    lambda a, p: Vmess(address=a, port=p, user=UUID, security=TLS, transport=WebSocket(path="/ws")),
    lambda a, p: Trojan(address=a, port=p, password=PROBE, security=TLS),
    lambda a, p: Shadowsocks(address=a, port=p, method="aes-256-gcm", password=PROBE),
    lambda a, p: Shadowsocks(address=a, port=p, method=SIP022, password=f"{KEY}:{KEY}"),
    lambda a, p: Hysteria2(address=a, port=p, auth=PROBE, tls=QUIC),
    lambda a, p: Tuic(address=a, port=p, user=UUID, password=PROBE, congestion="bbr", tls=QUIC),
]


def fleet(size: int) -> list[Node]:
    made = []
    for number in range(size):
        endpoint = KINDS[number % len(KINDS)](f"192.0.2.{number + 1}", 443)
        tier = "basic" if number // len(KINDS) % 2 == number % 2 else "premium"
        made.append(
            Node(
                id=f"node-{number}",
                name=f"Node {number}",
                endpoint=endpoint,
                fingerprint=fingerprint(endpoint),
                tags=frozenset([tier]),
            )
        )
    return made


def people(count: int) -> tuple[User, ...]:
    return tuple(
        User(
            name=f"user-{number}",
            token=secrets.token_hex(16),
            uuid=str(uuid.uuid4()),
            password=base64.b64encode(secrets.token_bytes(16)).decode(),
            tier="gold" if number % 2 else "basic",
        )
        for number in range(count)
    )


async def nobody(_: EngineName, __: bytes) -> None:
    """Instead of the engines: they are asked once for all users."""


async def measure(size: int, users: tuple[User, ...], profile: bool) -> None:
    nodes = fleet(size)
    basic = next(number for number, node in enumerate(nodes) if "basic" in node.tags)
    premium = next(number for number, node in enumerate(nodes) if "premium" in node.tags)
    with tempfile.TemporaryDirectory(prefix="healthd-users-") as place:
        table = PublishConfig(name="main", directory=Path(place) / "public")
        publication = Publication(
            table,
            "https://check.test/",
            nobody,
            Clocks(time.time, time.monotonic),
            users=Users(users, {"gold": (), "basic": ("basic",)}),
        )
        publication.directory.prepare()
        publication.load()

        async def case(name: str, fleet: list[Node], expected: Outcome) -> None:
            decision = Decision(mode=Mode.NORMAL, nodes=tuple(fleet), floor=size // 2)
            profiler = cProfile.Profile() if profile else None
            wall, cpu = time.perf_counter(), time.process_time()
            if profiler is None:
                outcome = await publication.publish(decision)
            else:
                outcome = await profiled(publication, decision, profiler)
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            assert outcome is expected, outcome
            print(f"{len(users):6d} {size:6d}  {name:28s} {cpu:8.2f} {wall:8.2f}", flush=True)
            if profiler is not None:
                pstats.Stats(profiler).sort_stats("tottime").print_stats(25)

        await case("first publication", nodes, Outcome.PUBLISHED)
        await case("every user changes", moved(nodes, basic), Outcome.PUBLISHED)
        both = moved(nodes, basic)
        await case("one tier changes", moved(both, premium), Outcome.PUBLISHED)
        await case("nothing changes", moved(both, premium), Outcome.UNCHANGED)
        for number in range(12):  # as many generations as are kept
            decision = Decision(mode=Mode.NORMAL, nodes=tuple(moved(both, basic, 500 + number)))
            await publication.publish(decision)
        await case("every user, old ones pruned", nodes, Outcome.PUBLISHED)


async def profiled(
    publication: Publication, decision: Decision, profiler: cProfile.Profile
) -> Outcome:
    """With all blocking calls in this thread, where the profiler sees them."""
    real = trio.to_thread.run_sync

    async def here(call: Callable[..., Any], *args: Any) -> Any:
        return call(*args)

    trio.to_thread.run_sync = here  # type: ignore[assignment]
    profiler.enable()
    try:
        return await publication.publish(decision)
    finally:
        profiler.disable()
        trio.to_thread.run_sync = real


def moved(nodes: list[Node], number: int, port: int = 8443) -> list[Node]:
    """The fleet with one node on another port."""
    node = nodes[number]
    endpoint = replace(node.endpoint, port=port)
    other = replace(node, endpoint=endpoint, fingerprint=fingerprint(endpoint))
    return [*nodes[:number], other, *nodes[number + 1 :]]


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--nodes", default="10,20")
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    print(f"{'users':>6s} {'nodes':>6s}  {'case':28s} {'CPU s':>8s} {'wall s':>8s}")
    users = people(arguments.users)
    for size in map(int, arguments.nodes.split(",")):
        await measure(size, users, arguments.profile)


if __name__ == "__main__":
    trio.run(main)
