"""One shift, two engines: real Xray and sing-box clients for real servers on loopback."""

import json
import os
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import trio

from healthd.demo.fleet import Fleet, open_fleet
from healthd.endpoints import Endpoint, Hysteria2, QuicTls, Tuic
from healthd.engines import singbox
from healthd.engines.carrying import DIALECTS
from healthd.engines.check import check, check_document, find_refused
from healthd.engines.dialect import Engine, EngineName
from healthd.engines.program import Program, Programs, programs
from healthd.engines.tunnel import Tunnel
from healthd.engines.tunnels import Tunnels
from healthd.errors import EngineFailed, EngineRejected, TunnelError
from healthd.model import Node, Outcome, Reason
from healthd.probing.prober import Prober
from healthd.probing.transport import TunnelTransport
from tests.fakes import ask, children_of, endpoint, make_node, wait_until

pytestmark = pytest.mark.usefixtures("childless", "no_descriptor_leaks")

OWNER = f"test two engines {os.getpid()}"
XRAY, SING_BOX = EngineName.XRAY, EngineName.SING_BOX
USER = "b831381d-6324-4d53-ad4f-8cda48b30811"
PASSWORD = "correct-horse-battery"
TLS = ssl.create_default_context()


def tuic(port: int = 1, **changes: Any) -> Tuic:
    """A TUIC endpoint on loopback where, by default, nothing listens."""
    given: dict[str, Any] = {"user": USER, "password": PASSWORD, "tls": QuicTls(insecure=True)}
    return Tuic(address="127.0.0.1", port=port, **(given | changes))


def tuic_node(node_id: str, **changes: Any) -> Node:
    return make_node(node_id, tuic(**changes))


@dataclass
class Stage:
    """Tunnels in which all nodes are mates, and what became of their clients."""

    tunnels: Tunnels
    nodes: dict[str, Node]
    starts: list[tuple[EngineName, str]] = field(default_factory=list)

    async def lease(self, stack: AsyncExitStack, node_id: str, *, recheck: bool = False) -> Tunnel:
        """Hold a lease until the stack is closed."""
        with trio.fail_after(10):
            return await stack.enter_async_context(
                self.tunnels.open(self.nodes[node_id], recheck=recheck)
            )


@asynccontextmanager
async def open_stage(
    engines: Programs, nodes: Sequence[Node], *, shift: float = 60.0
) -> AsyncIterator[Stage]:
    """Tunnels whose clients are gone behind the block."""
    starts: list[tuple[EngineName, str]] = []
    async with trio.open_nursery() as nursery:
        tunnels = Tunnels(
            engines,
            nursery,
            shift_mates=lambda _: nodes,
            shift=shift,
            max_clients=4,
            shift_clients=2,
            on_start=lambda engine, outcome: starts.append((engine, outcome)),
        )
        try:
            yield Stage(tunnels, {node.id: node for node in nodes}, starts)
        finally:
            nursery.cancel_scope.cancel()
    assert children_of(OWNER) == []


@pytest.fixture
def both(xray: str, sing_box: str) -> dict[EngineName, Program]:
    """Both engines, whose processes the tests know again."""
    found = {XRAY: Engine(xray, ""), SING_BOX: Engine(sing_box, "")}
    return programs(found, owner=OWNER)


async def test_each_engine_has_one_client_in_a_shift(both: Programs) -> None:
    """Nodes of both kinds: two processes, each with the nodes it can carry, and its own control."""
    nodes = [make_node("v1"), tuic_node("t1"), make_node("v2"), tuic_node("t2", port=2)]
    async with open_stage(both, nodes) as stage, AsyncExitStack() as leases:
        held = {node.id: await stage.lease(leases, node.id) for node in nodes}

        assert held["v1"].client is held["v2"].client
        assert held["t1"].client is held["t2"].client
        assert held["v1"].client is not held["t1"].client
        assert sorted(stage.starts) == [(SING_BOX, "ready"), (XRAY, "ready")]
        assert len(children_of(OWNER)) == stage.tunnels.clients == 2
        assert [stage.tunnels.engine_of(node) for node in nodes] == [XRAY, SING_BOX] * 2


async def test_rechecks_gather_by_engine(both: Programs) -> None:
    """Suspects of both kinds at once: one fresh client for each engine."""
    nodes = [make_node("v1"), tuic_node("t1"), make_node("v2"), tuic_node("t2", port=2)]
    async with open_stage(both, nodes) as stage:
        clients = set()

        async def recheck(node: Node) -> None:
            async with stage.tunnels.open(node, recheck=True) as tunnel:
                clients.add(tunnel.client)
                await wait_until(lambda: len(clients) == 2)

        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                for node in nodes:
                    nursery.start_soon(recheck, node)

        assert sorted(stage.starts) == [(SING_BOX, "ready"), (XRAY, "ready")]


async def test_without_sing_box_its_nodes_are_rejected_and_the_others_go_on(
    both: Programs,
) -> None:
    """Who needs what is not installed hears how to get it."""
    nodes = [make_node("v"), tuic_node("t")]
    async with open_stage({XRAY: both[XRAY]}, nodes) as stage, AsyncExitStack() as leases:
        with pytest.raises(EngineRejected, match="run 'healthd engines install'"):
            await stage.lease(leases, "t")
        await stage.lease(leases, "v")

        assert stage.tunnels.engine_of(nodes[1]) is None
        assert stage.starts == [(XRAY, "ready")]


BROKEN = 666
"""The port of nodes that come to sing-box with a setting it does not know."""


def spoil(sing_box: Program) -> Program:
    """Our own outbounds leave nothing to refuse: break those of some nodes on the way."""

    def client_config(nodes: Mapping[str, Endpoint], *, port: int, password: str) -> bytes:
        config = json.loads(singbox.client_config(nodes, port=port, password=password))
        for outbound in config["outbounds"]:
            if outbound.get("server_port") == BROKEN:
                outbound["congestion_control"] = f"of {PASSWORD}"
        return json.dumps(config).encode()

    return replace(sing_box, dialect=replace(sing_box.dialect, client_config=client_config))


async def test_refused_node_is_named_and_the_others_go_on(both: Programs) -> None:
    """A bad node in each engine among good ones: named with its words, without its secrets."""
    engines = {**both, SING_BOX: spoil(both[SING_BOX])}
    nodes = [
        tuic_node("t1"),
        tuic_node("bad-t", port=BROKEN),
        tuic_node("t2", port=3),
        make_node("bad-v", endpoint(public_key="not-a-key")),
        make_node("v"),
    ]
    async with open_stage(engines, nodes) as stage, AsyncExitStack() as leases:
        for node_id, words in (("bad-t", "unknown congestion"), ("bad-v", "REALITY")):
            with pytest.raises(EngineRejected, match=words) as caught:
                await stage.lease(leases, node_id)
            assert not any(s in str(caught.value) for s in stage.nodes[node_id].endpoint.secrets())
        for node_id in ("t1", "t2", "v"):
            await stage.lease(leases, node_id)
        outcomes = sorted(stage.starts)

        assert outcomes == sorted((e, o) for e in both for o in ("ready", "refused"))


async def test_find_refused_asks_sing_box(both: Programs) -> None:
    """As check-config does: every bad node at once, by its key."""
    nodes = {f"n{i}": tuic_node(f"n{i}", port=BROKEN) for i in (1, 4)}
    nodes |= {f"n{i}": tuic_node(f"n{i}", port=i + 1) for i in (0, 2, 3)}

    found = await find_refused(spoil(both[SING_BOX]), nodes)

    assert set(found) == {"n1", "n4"}
    assert all("unknown congestion control algorithm: of •••" in words for words in found.values())


async def test_one_configuration_is_judged_by_its_engine(both: Programs) -> None:
    """None when it is taken, or when the engine is not here; else its last words."""
    assert await check_document(both, SING_BOX, b"{}") is None
    assert await check_document(both, XRAY, b'{"outbounds":[]}') is None
    assert await check_document({}, SING_BOX, b"no JSON") is None
    assert "unknown field" in (await check_document(both, SING_BOX, b'{"foo":1}') or "")
    assert "FATAL" in (await check(both[SING_BOX], b'{"foo":1}') or "")


async def test_killed_sing_box_is_noticed_and_replaced(both: Programs) -> None:
    """Kill -9 in mid shift: its leases learn of it, and the next one gets a fresh client."""
    nodes = [tuic_node("t")]
    async with open_stage(both, nodes) as stage, AsyncExitStack() as leases:
        lost = await stage.lease(leases, "t")
        os.kill(children_of(OWNER)[0], signal.SIGKILL)
        await wait_until(lambda: not lost.alive)
        fresh = await stage.lease(leases, "t")

        assert fresh.alive
        assert fresh.client is not lost.client
        assert stage.starts == [(SING_BOX, "ready")] * 2


async def test_sing_box_that_cannot_start_blames_no_node(both: Programs, tmp_path: Path) -> None:
    """It took the configuration and failed later: the fault is ours, told without secrets."""
    engine = tmp_path / "engine"
    engine.write_text(
        f"#!/bin/sh\necho 'FATAL[0000] start service: no luck with {PASSWORD}' >&2\nexit 1\n"
    )
    engine.chmod(0o755)
    broken = {SING_BOX: Program(DIALECTS[SING_BOX], str(engine), OWNER)}
    async with open_stage(broken, [tuic_node("t")]) as stage, AsyncExitStack() as leases:
        with pytest.raises(EngineFailed, match="no luck") as caught:
            await stage.lease(leases, "t")

        assert PASSWORD not in str(caught.value)
        assert stage.starts == [(SING_BOX, "failed")]


# --- what probes find --------------------------------------------------------------------------


def prober(tunnels: Tunnels, fleet: Fleet, deadline: float = 5.0) -> Prober:
    """A prober that asks the fleet's check URL."""
    url = fleet.checks[0].url
    return Prober(
        tunnels,
        urls=[url],
        self_check_urls=[url],
        expect_status=204,
        deadline=deadline,
        tls=TLS,
    )


async def results_of(
    engines: Programs, fleet: Fleet, places: Mapping[str, Any], deadline: float = 5.0
) -> dict[str, tuple[Outcome, Reason | None]]:
    """Outcome and reason of a probe of each place, all at once; details hold no secret."""
    nodes = [make_node(name, place) for name, place in places.items()]
    found: dict[str, tuple[Outcome, Reason | None]] = {}
    async with open_stage(engines, nodes) as stage:
        asking = prober(stage.tunnels, fleet, deadline)

        async def one(node: Node) -> None:
            result = await asking.probe(node)
            found[node.id] = result.outcome, result.reason
            assert not any(secret in result.detail for secret in node.endpoint.secrets())

        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                for node in nodes:
                    nursery.start_soon(one, node)
    return found


GOOD = (Outcome.SUCCESS, None)


def bad(reason: Reason) -> tuple[Outcome, Reason]:
    return Outcome.FAILURE, reason


async def test_probes_through_both_engines_find_the_reasons(xray: str, sing_box: str) -> None:
    """Every way in which a QUIC node fails has its reason; a certificate of ours is trusted."""
    kinds = {"tuic": "tuic", "hysteria2": "hysteria2", "vless": "vless-reality-vision"}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        async with open_fleet(xray, list(kinds), sing_box=sing_box, kinds=kinds) as fleet:
            engines = programs(
                {XRAY: Engine(xray, ""), SING_BOX: Engine(sing_box, "")},
                owner=OWNER,
                ca_file=fleet.ca_file,
            )
            places = {name: server.endpoint for name, server in fleet.servers.items()}
            good, hysteria2 = places["tuic"], places["hysteria2"]
            assert isinstance(good, Tuic)
            assert isinstance(hysteria2, Hysteria2)
            found = await results_of(
                engines,
                fleet,
                places
                | {
                    "t-password": replace(good, password="wrong"),
                    "t-name": replace(good, tls=replace(good.tls, server_name="other.test")),
                    "t-refused": replace(good, port=1),
                    "t-silent": replace(good, port=silent.getsockname()[1]),
                    "h-password": replace(hysteria2, auth="wrong"),
                    "h-pin": replace(
                        hysteria2, tls=replace(hysteria2.tls, pinned_sha256="00" * 32)
                    ),
                },
                deadline=3.0,
            )
            untrusting = programs(
                {XRAY: Engine(xray, ""), SING_BOX: Engine(sing_box, "")}, owner=OWNER
            )
            stranger = await results_of(untrusting, fleet, {"tuic": good})

    assert found == {
        "vless": GOOD,
        "tuic": GOOD,
        "hysteria2": GOOD,
        "t-password": bad(Reason.AUTH_OR_RESET),
        "t-name": bad(Reason.TLS),
        "t-refused": bad(Reason.REFUSED),
        "t-silent": bad(Reason.DEADLINE),
        "h-password": bad(Reason.AUTH_OR_RESET),
        "h-pin": bad(Reason.TLS),
    }
    assert stranger == {"tuic": bad(Reason.TLS)}


async def test_nodes_at_one_place_do_not_share_what_they_know(xray: str, sing_box: str) -> None:
    """Xray keeps Hysteria2 by address: a wrong password must not ride on a right one's connection.

    Nor must the right one fail for the wrong one's sake, whichever is asked first.
    """
    kinds = {"hysteria2": "hysteria2"}
    async with open_fleet(xray, list(kinds), kinds=kinds) as fleet:
        good = fleet.servers["hysteria2"].endpoint
        assert isinstance(good, Hysteria2)
        engines = programs({XRAY: Engine(xray, "")}, owner=OWNER)
        places = {"good": good, "wrong": replace(good, auth="wrong"), "same": good}
        for names in (("good", "wrong", "same"), ("wrong", "good")):
            found = await results_of(engines, fleet, {name: places[name] for name in names})

            assert found == {
                name: bad(Reason.AUTH_OR_RESET) if name == "wrong" else GOOD for name in names
            }

        nodes = [make_node(name, place) for name, place in places.items()]
        async with open_stage(engines, nodes) as stage:
            clients = []

            async def recheck(node: Node) -> None:
                async with stage.tunnels.open(node, recheck=True) as tunnel:
                    clients.append(tunnel.client)

            with trio.fail_after(10):
                async with trio.open_nursery() as nursery:
                    for node in nodes:
                        nursery.start_soon(recheck, node)

            assert len(set(clients)) == 3


async def test_control_goes_past_the_nodes(both: Programs, xray: str) -> None:
    """Sing-box's control account reaches the check URL although its only node is dead."""
    async with (
        open_fleet(xray, []) as fleet,
        open_stage(both, [tuic_node("t")]) as stage,
        AsyncExitStack() as leases,
    ):
        tunnel = await stage.lease(leases, "t")
        transport = TunnelTransport(TLS)
        with trio.fail_after(5):
            assert await ask(transport, tunnel.control, fleet.checks[0].url) == (204, b"")
            with pytest.raises(TunnelError):
                await ask(transport, tunnel, fleet.checks[0].url)
            stranger = Tunnel(tunnel.port, "nobody", tunnel.password, tunnel.client)
            with pytest.raises(TunnelError) as caught:
                await ask(transport, stranger, fleet.checks[0].url)

        assert caught.value.reason is Reason.FOREIGN_PORT
