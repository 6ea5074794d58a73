"""Leases on shared clients, with real Xray processes."""

import os
import signal
import socket
import ssl
import struct
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from ctypes import addressof, create_string_buffer
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import trio

from healthd.demo.checkurl import CheckUrl
from healthd.demo.fleet import open_fleet
from healthd.engines import process
from healthd.engines.carrying import DIALECTS
from healthd.engines.dialect import EngineName
from healthd.engines.ports import reserve_port
from healthd.engines.program import Program, Programs
from healthd.engines.tunnel import Tunnel
from healthd.engines.tunnels import Tunnels
from healthd.engines.xray import client_config
from healthd.errors import EngineFailed, EngineRejected, TunnelError
from healthd.model import Node, Reason
from healthd.probing.transport import TunnelTransport
from tests.fakes import ask, children_of, endpoint, make_node, wait_until

pytestmark = pytest.mark.usefixtures("childless", "no_descriptor_leaks")

OWNER = f"test tunnels {os.getpid()}"


@dataclass
class Stage:
    """Tunnels for a fleet in which all nodes are mates, and what became of their clients."""

    tunnels: Tunnels
    nodes: dict[str, Node]
    nursery: trio.Nursery
    starts: list[str] = field(default_factory=list)

    async def lease(self, stack: AsyncExitStack, node_id: str, *, recheck: bool = False) -> Tunnel:
        """Hold a lease until the stack is closed."""
        with trio.fail_after(10):
            return await stack.enter_async_context(
                self.tunnels.open(self.nodes[node_id], recheck=recheck)
            )


def xray_at(binary: str) -> Program:
    """This Xray, whose processes the tests know again."""
    return Program(DIALECTS[EngineName.XRAY], binary, OWNER)


@asynccontextmanager
async def open_stage(
    engines: str | Programs,
    nodes: Sequence[Node],
    *,
    shift: float = 60.0,
    max_clients: int = 8,
    shift_clients: int = 4,
    reserve: Callable[[], socket.socket] = reserve_port,
) -> AsyncIterator[Stage]:
    """Tunnels whose clients are gone behind the block."""
    starts: list[str] = []
    async with trio.open_nursery() as nursery:
        tunnels = Tunnels(
            {EngineName.XRAY: xray_at(engines)} if isinstance(engines, str) else engines,
            nursery,
            shift_mates=lambda _: nodes,
            shift=shift,
            max_clients=max_clients,
            shift_clients=shift_clients,
            on_start=lambda _, outcome: starts.append(outcome),
            reserve=reserve,
        )
        try:
            yield Stage(tunnels, {node.id: node for node in nodes}, nursery, starts)
        finally:
            nursery.cancel_scope.cancel()
    assert children_of(OWNER) == []


async def works(tunnel: Tunnel, nursery: trio.Nursery) -> bool:
    """Whether a request really goes through the client (its direct account)."""
    check = CheckUrl(nursery)
    await check.start()
    try:
        with trio.fail_after(5):
            status, _ = await ask(TunnelTransport(_TLS), tunnel.control, check.url)
    except TunnelError:
        return False
    finally:
        check.stop()
    return (status, check.requests) == (204, 1)


_TLS = ssl.create_default_context()
FEW = [make_node("a"), make_node("b"), make_node("c")]


async def test_nodes_of_one_shift_share_one_process(xray: str) -> None:
    """Mates get accounts of their own on one port of one process."""
    async with open_stage(xray, FEW) as stage, AsyncExitStack() as leases:
        tunnels = [await stage.lease(leases, node_id) for node_id in "abc"]

        assert len({tunnel.port for tunnel in tunnels}) == 1
        assert len({tunnel.user for tunnel in tunnels}) == 3
        assert len(children_of(OWNER)) == stage.tunnels.clients == 1
        assert stage.starts == ["ready"]
        assert await works(tunnels[0], stage.nursery)


async def test_leases_that_begin_together_share_one_process(xray: str) -> None:
    """Mates that ask before the client is ready wait for it instead of starting another."""
    nodes = [make_node(f"n-{number}") for number in range(50)]
    ports: list[int] = []
    async with open_stage(xray, nodes) as stage:

        async def lease(node: Node) -> None:
            async with stage.tunnels.open(node) as tunnel:
                ports.append(tunnel.port)

        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                for node in nodes:
                    nursery.start_soon(lease, node)

        assert len(ports) == 50
        assert len(set(ports)) == 1
        assert stage.starts == ["ready"]


async def test_recheck_uses_another_process_than_the_shift(xray: str) -> None:
    """A shift's trouble is never the cause of its rechecks."""
    async with open_stage(xray, FEW) as stage, AsyncExitStack() as leases:
        slot = await stage.lease(leases, "a")
        recheck = await stage.lease(leases, "a", recheck=True)

        assert slot.port != recheck.port
        assert slot.password != recheck.password
        assert len(children_of(OWNER)) == 2
        assert await works(recheck, stage.nursery)


async def test_rechecks_begun_together_share_a_process(xray: str) -> None:
    """A mass failure does not mean a process per node; one that comes later gets a fresh one."""
    ports: list[int] = []
    async with open_stage(xray, FEW, shift=0.1) as stage:

        async def recheck(node: Node) -> None:
            async with stage.tunnels.open(node, recheck=True) as tunnel:
                ports.append(tunnel.port)

        for _ in range(2):
            with trio.fail_after(10):
                async with trio.open_nursery() as nursery:
                    for node in FEW:
                        nursery.start_soon(recheck, node)

        assert len(ports) == 6
        assert stage.starts == ["ready", "ready"]


async def test_number_of_processes_is_bounded(xray: str) -> None:
    """Rechecks beyond the limit wait for their turn, gather, and then run in one client."""
    nodes = [make_node(f"n-{number}") for number in range(6)]
    async with (
        open_stage(xray, nodes, shift=0.1, max_clients=2, shift_clients=1) as stage,
        AsyncExitStack() as first,
    ):
        await stage.lease(first, "n-0", recheck=True)
        done: list[str] = []

        async def recheck(node: Node) -> None:
            async with stage.tunnels.open(node, recheck=True):
                done.append(node.id)

        async with trio.open_nursery() as nursery:
            for node in nodes[1:]:
                nursery.start_soon(recheck, node)
                await trio.sleep(0.05)

            assert (done, len(children_of(OWNER))) == ([], 1)
            await first.aclose()
            await wait_until(lambda: len(done) == 5)

        assert stage.starts == ["ready", "ready"]


async def test_bad_node_is_set_aside_and_the_others_go_on(xray: str) -> None:
    """A key the engine refuses among ten: nine share a client, the tenth stays refused for free."""
    bad = make_node("bad", endpoint(public_key="not-a-key"))
    nodes = [make_node(f"n-{number}") for number in range(9)]
    nodes.insert(4, bad)
    async with open_stage(xray, nodes) as stage, AsyncExitStack() as leases:
        with pytest.raises(EngineRejected, match="REALITY") as caught:
            await stage.lease(leases, "bad")
        good = [await stage.lease(leases, node.id) for node in nodes if node is not bad]

        assert "not-a-key" not in caught.value.words
        assert len({tunnel.port for tunnel in good}) == 1
        assert await works(good[0], stage.nursery)
        assert stage.starts == ["refused", "ready"]

        for recheck in (False, True):
            with pytest.raises(EngineRejected, match="REALITY"):
                await stage.lease(leases, "bad", recheck=recheck)
        assert stage.starts == ["refused", "ready"]
        assert len(children_of(OWNER)) == 1


async def test_mended_node_gets_its_tunnel_at_once(xray: str) -> None:
    """The refusal belongs to the settings, not to the id: another endpoint is asked anew."""
    bad = make_node("a", endpoint(public_key="not-a-key"))
    async with open_stage(xray, [bad]) as stage, AsyncExitStack() as leases:
        with pytest.raises(EngineRejected):
            await stage.lease(leases, "a")
        stage.nodes["a"] = make_node("a")
        tunnel = await stage.lease(leases, "a")

        assert await works(tunnel, stage.nursery)


async def test_fleet_of_refused_nodes_is_refused_as_a_whole(xray: str) -> None:
    """With no node left to carry, each hears why; no empty client is left running."""
    nodes = [
        make_node(f"n-{number}", endpoint(public_key=f"not-a-key-{number}")) for number in range(3)
    ]
    async with open_stage(xray, nodes) as stage, AsyncExitStack() as leases:
        for node in nodes:
            with pytest.raises(EngineRejected):
                await stage.lease(leases, node.id)
        await wait_until(lambda: not children_of(OWNER))

        assert stage.starts == ["refused"] * 3


async def test_client_ends_with_its_shift_and_its_last_lease(xray: str) -> None:
    """A lease keeps the client beyond its shift; new leases get another; then it ends."""
    async with open_stage(xray, FEW, shift=0.2) as stage:
        async with AsyncExitStack() as leases:
            old = await stage.lease(leases, "a")
            await wait_until(lambda: old.client.retired)
            new = await stage.lease(leases, "b")

            assert old.port != new.port
            assert await works(old, stage.nursery)
        await wait_until(lambda: (old.alive, new.alive) == (False, False))

        assert stage.tunnels.clients == 0
        assert children_of(OWNER) == []


async def test_cancelled_leases_do_not_keep_a_client(xray: str) -> None:
    """A probe that is cancelled while it waits, or holds, gives its lease back."""
    async with open_stage(xray, FEW, shift=0.2) as stage:
        for recheck in (False, True):
            with trio.move_on_after(0.01):
                async with stage.tunnels.open(FEW[0], recheck=recheck):
                    await trio.sleep_forever()
        await wait_until(lambda: stage.starts == ["ready", "ready"])
        await wait_until(lambda: not children_of(OWNER))


async def test_killed_client_is_noticed_and_replaced(xray: str) -> None:
    """Kill -9 in mid shift: its leases learn of it, and the next one gets a fresh client."""
    async with open_stage(xray, FEW) as stage, AsyncExitStack() as leases:
        lost = await stage.lease(leases, "a")
        assert lost.alive
        os.kill(children_of(OWNER)[0], signal.SIGKILL)
        await wait_until(lambda: not lost.alive)
        fresh = await stage.lease(leases, "a")

        assert fresh.port != lost.port or fresh.password != lost.password
        assert fresh.alive
        assert await works(fresh, stage.nursery)
        assert stage.starts == ["ready", "ready"]


async def test_tunnels_carry_requests_and_know_why_they_do_not(xray: str) -> None:
    """Real nodes answer through one client; the log names the dead one's reason, and its own."""
    transport = TunnelTransport(_TLS)
    async with open_fleet(xray, ["a", "b", "dead", "stranger"]) as fleet:
        await fleet.kill("dead")
        places = {name: server.endpoint for name, server in fleet.servers.items()}
        places["stranger"] = endpoint(
            port=fleet.servers["stranger"].port,
            public_key=fleet.servers["stranger"].keys.public,
        )
        nodes = [make_node(name, place) for name, place in places.items()]
        async with open_stage(xray, nodes) as stage, AsyncExitStack() as leases:
            found: dict[str, object] = {}

            async def probe(name: str) -> None:
                tunnel = await stage.lease(leases, name)
                try:
                    found[name] = await ask(transport, tunnel, fleet.checks[0].url)
                except TunnelError as why:
                    said = await tunnel.failure()
                    found[name] = (why.reason, said[0] if said else why.reason)

            with trio.fail_after(15):
                async with trio.open_nursery() as nursery:
                    for name in places:
                        nursery.start_soon(probe, name)

            assert found == {
                "a": (204, b""),
                "b": (204, b""),
                "dead": (Reason.AUTH_OR_RESET, Reason.REFUSED),
                "stranger": (Reason.AUTH_OR_RESET, Reason.AUTH_OR_RESET),
            }
            assert stage.starts == ["ready"]


# --- a port that is not ours alone ------------------------------------------------------------

_SO_ATTACH_REUSEPORT_CBPF = 51
_RETURN_ZERO = struct.pack("=HBBI", 0x06, 0, 0, 0)
"""A classic BPF program: every connection goes to the first listener of the port."""


def claim_all_connections(listener: socket.socket) -> None:
    """Make a SO_REUSEPORT listener take every connection to its port, not only its share."""
    program = create_string_buffer(_RETURN_ZERO)
    option = struct.pack("@HP", 1, addressof(program))
    try:
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, option)
    except OSError as why:
        pytest.skip(f"needs SO_ATTACH_REUSEPORT_CBPF: {why.strerror}")


@contextmanager
def foreign_listener() -> Iterator[socket.socket]:
    """A listener of somebody else beside whom a SO_REUSEPORT socket can bind."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        claim_all_connections(listener)
        yield listener


class TakenFirst:
    """Reserves the taken port first, good ones after."""

    def __init__(self, taken: int) -> None:
        self.taken = taken
        self.calls = 0

    def __call__(self) -> socket.socket:
        """Reserve the next port."""
        self.calls += 1
        return reserve_port(self.taken if self.calls == 1 else 0)


async def answer_garbage(words: bytes, stream: trio.SocketStream) -> None:
    """Say something that is not SOCKS5 as soon as somebody connects."""
    try:
        async with stream:
            await stream.send_all(words)
            await stream.receive_some(100)
    except trio.BrokenResourceError:
        pass


@pytest.mark.parametrize(
    "words", [b"SSH-2.0-OpenSSH_9.6\r\n", b"\x05\x02\x01\x01", b"\x05\xff", b""]
)
async def test_garbage_on_the_port_is_never_taken_for_ours(xray: str, words: bytes) -> None:
    """Another's listener on our port is recognised, and the client moves to another port."""
    with foreign_listener() as foreign:
        reserve = TakenFirst(foreign.getsockname()[1])
        async with open_stage(xray, FEW, reserve=reserve) as stage, AsyncExitStack() as leases:
            stream = trio.SocketListener(trio.socket.from_stdlib_socket(foreign.dup()))
            stage.nursery.start_soon(trio.serve_listeners, partial(answer_garbage, words), [stream])
            tunnel = await stage.lease(leases, "a")

            assert tunnel.port != reserve.taken
            assert await works(tunnel, stage.nursery)
            assert stage.starts == ["port_taken", "ready"]


async def test_xray_of_another_is_never_taken_for_ours(xray: str) -> None:
    """Another Xray answers SOCKS5 just as ours, but refuses our password: go elsewhere."""
    config = partial(client_config, {}, password="another's")
    with foreign_listener() as foreign, reserve_port() as held:
        reserve = TakenFirst(foreign.getsockname()[1])
        async with open_stage(xray, FEW, reserve=reserve) as stage, AsyncExitStack() as leases:
            port = held.getsockname()[1]
            await stage.nursery.start(
                partial(
                    process.run,
                    [xray, "run", "-c", "stdin:"],
                    stdin=config(port=port),
                    on_output=lambda _: None,
                    owner=f"{OWNER} foreign",
                )
            )
            await wait_until(partial(_listens, port))
            stream = trio.SocketListener(trio.socket.from_stdlib_socket(foreign.dup()))
            stage.nursery.start_soon(trio.serve_listeners, partial(relay, port), [stream])
            tunnel = await stage.lease(leases, "a")

            assert tunnel.port != reserve.taken
            assert await works(tunnel, stage.nursery)
            assert stage.starts == ["port_taken", "ready"]


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


async def relay(port: int, stream: trio.SocketStream) -> None:
    """Pass one question on to another port, and its answer back."""
    try:
        async with stream, await trio.open_tcp_stream("127.0.0.1", port) as behind:
            await behind.send_all(await stream.receive_some(4096))
            while answer := await behind.receive_some(4096):
                await stream.send_all(answer)
    except trio.BrokenResourceError:
        pass


async def test_silent_listener_on_the_port_is_never_taken_for_ours(xray: str) -> None:
    """One that accepts and says nothing: no lease on it; another port, or an honest failure."""
    with foreign_listener() as foreign:
        reserve = TakenFirst(foreign.getsockname()[1])
        async with open_stage(xray, FEW, reserve=reserve) as stage, AsyncExitStack() as leases:
            try:
                tunnel = await stage.lease(leases, "a")
            except EngineFailed as why:
                assert why.reason in {Reason.SPAWN, Reason.FOREIGN_PORT}
            else:
                assert tunnel.port != reserve.taken
                assert await works(tunnel, stage.nursery)


async def test_port_that_cannot_be_shared_is_left_to_its_owner(xray: str) -> None:
    """Xray says "address already in use" and exits: another port is tried."""
    with ExitStack() as stack:
        taken = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        calls = 0

        def reserve() -> socket.socket:
            nonlocal calls
            calls += 1
            # What a reservation would be that lost its port between two tries.
            return taken.dup() if calls == 1 else reserve_port()

        async with open_stage(xray, FEW, reserve=reserve) as stage, AsyncExitStack() as leases:
            tunnel = await stage.lease(leases, "a")

            assert tunnel.port != taken.getsockname()[1]
            assert await works(tunnel, stage.nursery)
            assert stage.starts == ["port_taken", "ready"]


async def test_engine_gives_up_when_every_port_is_taken(xray: str) -> None:
    """Three ports of others in a row: EngineFailed(FOREIGN_PORT) for everybody who waits."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        async with open_stage(xray, FEW, reserve=taken.dup) as stage, AsyncExitStack() as leases:
            with pytest.raises(EngineFailed) as caught:
                await stage.lease(leases, "a")

            assert caught.value.reason is Reason.FOREIGN_PORT
            assert stage.starts == ["port_taken"] * 3


# --- engines that do not behave ---------------------------------------------------------------


def script(folder: Path, body: str) -> str:
    """An engine made of a few lines of Python."""
    path = folder / "engine"
    path.write_text(f"#!{sys.executable} -IS\nimport os, subprocess, sys, time\n{body}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("print('Failed to start: no luck today'); sys.exit(1)", "no luck today"),
        ("sys.exit(0)", "code 0"),
        ("os.kill(os.getpid(), 11)", "code -11"),
        ("os.close(1); os.close(2); sys.exit(1)", "no output"),
        ("print('x' * 1_000_000); sys.exit(255)", "code 255"),
    ],
)
async def test_engine_that_ends_at_once_blames_no_node(
    tmp_path: Path, body: str, words: str
) -> None:
    """It raises EngineFailed(SPAWN) with the engine's last words, for every waiting lease."""
    async with open_stage(script(tmp_path, body), FEW) as stage, AsyncExitStack() as leases:
        with pytest.raises(EngineFailed, match=words) as caught:
            await stage.lease(leases, "a")

        assert caught.value.reason is Reason.SPAWN
        assert stage.starts == ["failed"]
        assert len(caught.value.words) < 300


async def test_missing_engine_blames_no_node(tmp_path: Path) -> None:
    """A binary that vanished (an upgrade under way) is EngineFailed(SPAWN)."""
    async with open_stage(str(tmp_path / "gone"), FEW) as stage, AsyncExitStack() as leases:
        with pytest.raises(EngineFailed) as caught:
            await stage.lease(leases, "a")

        assert caught.value.reason is Reason.SPAWN
        assert stage.starts == ["failed"]


async def test_engine_that_never_listens_is_given_up(tmp_path: Path) -> None:
    """A client that does not answer within START_LIMIT is killed: EngineFailed(SPAWN)."""
    binary = script(tmp_path, "time.sleep(1000)")
    async with open_stage(binary, FEW) as stage, AsyncExitStack() as leases:
        began = trio.current_time()
        with pytest.raises(EngineFailed, match="did not answer") as caught:
            await stage.lease(leases, "a")

        assert caught.value.reason is Reason.SPAWN
        assert 4.5 < trio.current_time() - began < 6
        assert stage.starts == ["failed"]
        assert children_of(OWNER) == []


_PICKY = """
config = sys.stdin.buffer.read()
if b"poison" in config:
    print("Failed to start: main: something about it is wrong")
    sys.exit(23)
engine = subprocess.Popen([{xray!r}, *sys.argv[1:]], stdin=subprocess.PIPE)
engine.communicate(config)
sys.exit(engine.returncode)
"""


async def test_refusal_that_names_nobody_is_found_by_halving(xray: str, tmp_path: Path) -> None:
    """The bad ones are found all the same, and only they are refused."""
    bad = {"n-2", "n-5"}
    nodes = [
        make_node(f"n-{number}", endpoint(user="poison" if f"n-{number}" in bad else "sound"))
        for number in range(7)
    ]
    binary = script(tmp_path, _PICKY.format(xray=xray))
    async with open_stage(binary, nodes) as stage, AsyncExitStack() as leases:
        refused = set()
        for node in nodes:
            try:
                tunnel = await stage.lease(leases, node.id)
            except EngineRejected as why:
                refused.add(node.id)
                assert "something about it is wrong" in why.words

        assert refused == bad
        assert await works(tunnel, stage.nursery)
        assert stage.starts == ["refused", "ready"]


@pytest.mark.parametrize("fleet", [FEW[:1], FEW])
async def test_engine_that_refuses_every_configuration_blames_no_node(
    tmp_path: Path, fleet: list[Node]
) -> None:
    """An engine whose dialect is another (an upgrade) says nothing about the nodes.

    It refuses even a configuration without any node, so the fault is not a node's: calling the
    whole fleet invalid would be acting on our own fault.
    """
    binary = script(tmp_path, "print('Failed to start: infra/conf: unknown thing'); sys.exit(23)")
    async with open_stage(binary, fleet) as stage, AsyncExitStack() as leases:
        with pytest.raises(EngineFailed, match="unknown thing"):
            await stage.lease(leases, "a")


async def test_lease_shows_no_secret_in_its_repr(xray: str) -> None:
    """A traceback may print a tunnel: neither password nor node credentials are in it."""
    async with open_stage(xray, FEW) as stage, AsyncExitStack() as leases:
        tunnel = await stage.lease(leases, "a")

        assert tunnel.password not in repr(tunnel)
        assert FEW[0].endpoint.secrets()[0] not in repr(tunnel)
