"""One question to one node: which check URL decides, and whose fault a failure is."""

import ssl
from collections.abc import Sequence
from typing import Any, cast

import pytest
import trio

from healthd.engines.client import Client
from healthd.engines.tunnel import Tunnel
from healthd.engines.tunnels import Tunnels
from healthd.errors import EngineFailed, EngineRejected
from healthd.model import Outcome, Reason, Result
from healthd.probing.prober import Prober
from tests.fakes import (
    GOOD,
    SHAKEN,
    USER,
    FakeTunnels,
    First,
    Play,
    by_host,
    make_node,
    open_socks,
    say,
)

pytestmark = pytest.mark.usefixtures("no_descriptor_leaks")

DEADLINE = 0.4
URLS = ("http://one.test/204", "http://two.test/204")
TLS = ssl.create_default_context()
NODE = make_node("a")


def answer(head: bytes, body: bytes = b"", *, then: str = "close") -> Play:
    """An HTTP answer behind a good handshake."""
    return say(SHAKEN + b"HTTP/1.1 " + head + b"\r\n\r\n" + body, then=then)


good = say(GOOD)
silent = say(SHAKEN)
closed = say(SHAKEN, then="close")
blocked = answer(b"451 Unavailable\r\nContent-Length: 0")


def prober(tunnels: FakeTunnels, **given: Any) -> Prober:
    """A prober with two check URLs and a short deadline."""
    settings: dict[str, Any] = {
        "urls": URLS,
        "self_check_urls": ("http://self.test/204",),
        "expect_status": 204,
        "deadline": DEADLINE,
        "tls": TLS,
    }
    return Prober(cast("Tunnels", tunnels), **(settings | given))


class Probed:
    """A result, and who was asked for it: host names, or "control"."""

    def __init__(self, result: Result, asked: Sequence[tuple[str, float]]) -> None:
        self.result = result
        self.asked = [host for host, _ in asked]
        self.at = dict(asked)

    @property
    def verdict(self) -> tuple[Outcome, Reason | None]:
        """Outcome and reason."""
        return self.result.outcome, self.result.reason


async def probe(
    one: Play, two: Play = good, *, control: Play = good, log: bytes = b"", **given: Any
) -> Probed:
    """Probe once through a server that plays this for each check URL."""
    client = Client([NODE])
    client._read(log)
    async with open_socks(by_host({"one.test": one, "two.test": two}, control)) as fake:
        began = trio.current_time()
        with trio.fail_after(3):
            result = await prober(FakeTunnels(fake.tunnel(client)), **given).probe(NODE)
    asked = [
        ("control" if first.user == "control" else first.host, first.at - began)
        for first in fake.firsts
    ]
    return Probed(result, asked)


async def test_expected_status_without_a_body_is_success() -> None:
    """A 204 is a success with its latency; nobody else is asked."""
    probed = await probe(good)

    assert probed.verdict == (Outcome.SUCCESS, None)
    assert probed.result.latency is not None
    assert 0 < probed.result.latency < DEADLINE
    assert probed.asked == ["one.test"]


@pytest.mark.parametrize("one", [blocked, closed, say(b"", then="reset")])
async def test_second_url_rescues_a_failing_first(one: Play) -> None:
    """A dead or blocked destination must not condemn a node: the second is asked at once."""
    probed = await probe(one)

    assert probed.verdict == (Outcome.SUCCESS, None)
    assert probed.asked == ["one.test", "two.test"]
    assert probed.at["two.test"] < DEADLINE / 4


async def test_second_url_is_asked_after_half_of_the_deadline() -> None:
    """When the first is silent the second gets the other half, and a success counts."""
    probed = await probe(silent)

    assert probed.verdict == (Outcome.SUCCESS, None)
    assert probed.at["two.test"] == pytest.approx(DEADLINE / 2, abs=DEADLINE / 5)


async def test_slow_first_may_still_win() -> None:
    """The first URL is not given up when the second is asked."""

    async def late(stream: trio.SocketStream, _: object) -> None:
        await trio.sleep(DEADLINE * 0.7)
        await stream.send_all(GOOD)

    probed = await probe(late, silent)

    assert probed.verdict == (Outcome.SUCCESS, None)
    assert probed.asked == ["one.test", "two.test"]


async def test_both_failing_gives_the_first_ones_reason() -> None:
    """The first URL's error is the one that is told."""
    probed = await probe(blocked, closed)

    assert probed.verdict == (Outcome.FAILURE, Reason.HTTP_STATUS)
    assert probed.result.detail == "one.test answered 451"
    assert probed.asked == ["one.test", "two.test", "control"]


async def test_first_ones_reason_stands_when_the_second_is_silent() -> None:
    """An answer that came says more than a deadline: a block page stays a block page."""
    probed = await probe(blocked, silent)

    assert probed.verdict == (Outcome.FAILURE, Reason.HTTP_STATUS)
    assert probed.asked == ["one.test", "two.test", "control"]


async def test_silence_is_the_deadline() -> None:
    """No answer from anybody within the deadline, and our own line is good: DEADLINE."""
    probed = await probe(silent, silent)

    assert probed.verdict == (Outcome.FAILURE, Reason.DEADLINE)
    assert probed.asked == ["one.test", "two.test", "control"]
    assert probed.at["control"] >= DEADLINE


@pytest.mark.parametrize("control", [closed, silent, blocked, say(b"", then="reset")])
@pytest.mark.parametrize("node", [closed, silent])
async def test_failing_control_makes_it_inconclusive(node: Play, control: Play) -> None:
    """When the direct request fails too, the fault is ours: no node is blamed."""
    probed = await probe(node, node, control=control)

    assert probed.verdict == (Outcome.INCONCLUSIVE, Reason.CONTROL_FAILED)


async def test_one_of_the_self_check_urls_is_enough() -> None:
    """The line is good when any of the self-check URLs answers, however the others do."""

    async def control(stream: trio.SocketStream, first: Any) -> None:
        await (good if first.host == "self-two.test" else silent)(stream, first)

    probed = await probe(
        closed,
        closed,
        control=control,
        self_check_urls=("http://self-one.test/", "http://self-two.test/"),
    )

    assert probed.verdict == (Outcome.FAILURE, Reason.AUTH_OR_RESET)


@pytest.mark.parametrize("control", [True, False])
async def test_control_answers_are_told(control: bool) -> None:
    """Metrics learn of each answer about our own line."""
    told: list[bool] = []
    await probe(closed, closed, control=good if control else closed, on_control=told.append)

    assert told == [control]


@pytest.mark.parametrize(
    ("shape", "expect", "reason"),
    [
        (answer(b"200 OK\r\nContent-Length: 0"), 204, Reason.HTTP_STATUS),
        (answer(b"302 Found\r\nLocation: http://portal.test/"), 204, Reason.HTTP_STATUS),
        (answer(b"200 OK\r\nContent-Length: 5", b"hello"), 204, Reason.HTTP_STATUS),
        (answer(b"204 No\r\nContent-Length: 5", b"hello"), 204, Reason.HTTP_BODY),
        (answer(b"204 No\r\nContent-Length: 5", then="hold"), 204, Reason.HTTP_BODY),
        (
            answer(b"204 No\r\nTransfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n\r\n"),
            204,
            Reason.HTTP_BODY,
        ),
        (answer(b"204 No", then="hold"), 200, Reason.HTTP_STATUS),
        (answer(b"200 OK\r\nContent-Length: 5", b"hello"), 200, Reason.HTTP_BODY),
        (answer(b"200 OK", b"hello"), 200, Reason.HTTP_BODY),
        (answer(b"200 OK", b"hello", then="hold"), 200, Reason.HTTP_BODY),
        (
            answer(b"200 OK\r\nTransfer-Encoding: chunked", b"5\r\nhello\r\n", then="hold"),
            200,
            Reason.HTTP_BODY,
        ),
        (answer(b"200 OK\r\nContent-Length: 0", then="hold"), 200, None),
        (
            answer(b"200 OK\r\nTransfer-Encoding: chunked", b"0\r\n\r\n", then="hold"),
            200,
            None,
        ),
        (answer(b"204 No\r\nContent-Length: 0", then="hold"), 204, None),
    ],
)
async def test_success_is_exactly_status_and_emptiness(
    shape: Play, expect: int, reason: Reason | None
) -> None:
    """Another status is a portal; a body, announced or sent in whatever way, is one too."""
    fine = answer(f"{expect} Fine\r\nContent-Length: 0".encode())
    probed = await probe(shape, control=fine, urls=URLS[:1], expect_status=expect)

    outcome = Outcome.SUCCESS if reason is None else Outcome.FAILURE
    assert probed.verdict == (outcome, reason)


async def test_foreign_port_is_our_own_trouble() -> None:
    """Somebody else on our client's port says nothing about a node; no control request asks him."""
    stranger = say(b"SSH-2.0-OpenSSH_9.6\r\n", then="close")
    probed = await probe(stranger, stranger, control=stranger)

    assert probed.verdict == (Outcome.INCONCLUSIVE, Reason.FOREIGN_PORT)
    assert "control" not in probed.asked


async def test_port_that_refuses_is_our_clients_end() -> None:
    """Nobody listening on the tunnel's port: the client died, the node is not blamed."""
    async with open_socks(good) as fake:
        pass
    result = await prober(FakeTunnels(fake.tunnel())).probe(NODE)

    assert (result.outcome, result.reason) == (Outcome.INCONCLUSIVE, Reason.ENGINE_EXIT)


async def test_client_that_died_under_the_probe_is_inconclusive() -> None:
    """A broken connection whose client has ended since is the client's fault."""
    client = Client([NODE])

    async def die(stream: trio.SocketStream, _: object) -> None:
        client.ended = EngineFailed(Reason.ENGINE_EXIT, "killed")
        await stream.send_all(SHAKEN)

    async with open_socks(die) as fake:
        result = await prober(FakeTunnels(fake.tunnel(client))).probe(NODE)

    assert (result.outcome, result.reason) == (Outcome.INCONCLUSIVE, Reason.ENGINE_EXIT)


async def test_engine_knows_better_why_it_closed() -> None:
    """A vague end of the connection gets the reason from the engine's log, without secrets."""
    log = (
        b"2026/01/01 [Info] [7] app/dispatcher: taking detour [n0] for [tcp:one.test:80]\n"
        b"2026/01/01 [Info] [7] app/proxyman/outbound: failed to process outbound traffic > "
        b"proxy/vless/outbound: user " + USER.encode() + b" > dial tcp 127.0.0.1:1: "
        b"connect: connection refused\n"
    )
    probed = await probe(closed, closed, log=log)

    assert probed.verdict == (Outcome.FAILURE, Reason.REFUSED)
    assert "connection refused" in probed.result.detail
    assert USER not in probed.result.detail


async def test_engine_does_not_overrule_an_answer() -> None:
    """A block page that was read is a block page, whatever the log says about the connection."""
    log = (
        b"[Info] [7] app/dispatcher: taking detour [n0] for [tcp:one.test:80]\n"
        b"[Info] [7] x: failed to process outbound traffic > i/o timeout\n"
    )
    probed = await probe(blocked, blocked, log=log)

    assert probed.verdict == (Outcome.FAILURE, Reason.HTTP_STATUS)


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (EngineRejected("bad key"), (Outcome.FAILURE, Reason.ENGINE_REJECTED)),
        (EngineFailed(Reason.SPAWN, "no"), (Outcome.INCONCLUSIVE, Reason.SPAWN)),
        (EngineFailed(Reason.RESOURCES, "no"), (Outcome.INCONCLUSIVE, Reason.RESOURCES)),
    ],
)
async def test_missing_tunnel_is_a_value(error: Exception, verdict: tuple[Outcome, Reason]) -> None:
    """A refused node fails by its settings; a client that did not start blames nobody."""
    tunnel = Tunnel(1, "n0", "x", Client([NODE]))
    result = await prober(FakeTunnels(tunnel, error)).probe(NODE)

    assert (result.outcome, result.reason) == verdict


async def test_recheck_is_passed_on() -> None:
    """A recheck leases a fresh client; a slot the shift's."""
    async with open_socks(good) as fake:
        tunnels = FakeTunnels(fake.tunnel())
        for recheck in (False, True):
            await prober(tunnels).probe(NODE, recheck=recheck)

    assert tunnels.rechecks == [False, True]


async def test_request_looks_ordinary() -> None:
    """The check's operator learns nothing more than any captive-portal check tells."""
    async with open_socks(good) as fake:
        await prober(FakeTunnels(fake.tunnel())).probe(NODE)

    head = fake.firsts[0].rest.decode().lower()
    assert head.startswith("get /204 http/1.1\r\n")
    names = {line.partition(":")[0] for line in head.split("\r\n")[1:] if line}
    assert names <= {"host", "user-agent", "accept", "accept-encoding", "connection"}
    assert "python" not in head
    assert "healthd" not in head


async def test_cookies_are_neither_kept_nor_sent() -> None:
    """One node's cookie would be sent through all others, and past them."""
    seen: list[bytes] = []

    async def sticky(stream: trio.SocketStream, first: First) -> None:
        seen.append(first.raw)
        await stream.send_all(
            SHAKEN + b"HTTP/1.1 204 No Content\r\nSet-Cookie: a=b; Path=/\r\n"
            b"Connection: close\r\n\r\n"
        )

    async with open_socks(sticky) as fake:
        asking = prober(FakeTunnels(fake.tunnel(Client([NODE]))))
        for _ in range(2):
            assert (await asking.probe(NODE)).outcome is Outcome.SUCCESS

    assert len(seen) == 2
    assert not [sent for sent in seen if b"ookie" in sent]


async def test_our_own_stall_blames_nobody() -> None:
    """A deadline that passed while our loop stood still says nothing about the node."""
    since: list[float] = []

    def late(began: float) -> bool:
        since.append(began)
        return True

    began = trio.current_time()
    probed = await probe(silent, silent, loop_late=late)

    assert probed.verdict == (Outcome.INCONCLUSIVE, Reason.LOOP_LAG)
    assert began <= since[0] < began + DEADLINE


async def test_want_of_descriptors_or_memory_blames_nobody() -> None:
    """A failure while this machine is short of what a probe needs proves nothing; words tell it."""
    since: list[float] = []

    def short_of(began: float) -> str:
        since.append(began)
        return "3 descriptors left"

    began = trio.current_time()
    probed = await probe(closed, closed, short_of=short_of)

    assert probed.verdict == (Outcome.INCONCLUSIVE, Reason.RESOURCES)
    assert probed.result.detail == "3 descriptors left"
    assert began <= since[0] < began + DEADLINE


async def test_failure_from_before_the_line_came_back() -> None:
    """The control request comes later than the failure: at an outage's end it proves nothing."""
    since: list[float] = []

    def line_bad(began: float) -> bool:
        since.append(began)
        return True

    began = trio.current_time()
    probed = await probe(closed, closed, line_bad=line_bad)

    assert probed.verdict == (Outcome.INCONCLUSIVE, Reason.CONTROL_FAILED)
    assert "offline under the probe" in probed.result.detail
    assert began <= since[0] < began + DEADLINE
    assert (await probe(good, line_bad=lambda _: True)).verdict == (Outcome.SUCCESS, None)


async def test_success_counts_whatever_we_lack() -> None:
    """What went well went well: neither a stall nor a shortage takes it away."""
    probed = await probe(good, loop_late=lambda _: True, short_of=lambda _: "no memory")

    assert probed.verdict == (Outcome.SUCCESS, None)


async def test_shortage_does_not_hide_our_own_line() -> None:
    """What is inconclusive already keeps its reason."""
    probed = await probe(closed, closed, control=closed, short_of=lambda _: "no memory")

    assert probed.verdict == (Outcome.INCONCLUSIVE, Reason.CONTROL_FAILED)


async def test_refusal_under_a_shortage_is_not_believed() -> None:
    """An engine that lacks memory may refuse anything."""
    tunnels = FakeTunnels(Tunnel(1, "n0", "x", Client([NODE])), EngineRejected("odd"))
    result = await prober(tunnels, short_of=lambda _: "no memory").probe(NODE)

    assert (result.outcome, result.reason) == (Outcome.INCONCLUSIVE, Reason.RESOURCES)


@pytest.mark.parametrize(
    ("urls", "usual", "confirming"),
    [
        (["one"], ["one"], ["one"]),
        (["one", "two"], ["one", "two"], ["two", "one"]),
        (["one", "two", "three"], ["one", "two"], ["three", "two"]),
        (["one", "two", "three", "four"], ["one", "two"], ["three", "four"]),
    ],
)
async def test_other_urls_confirm_a_mass_failure(
    urls: list[str], usual: list[str], confirming: list[str]
) -> None:
    """The third and fourth URL are only asked to confirm; without them the order is turned."""
    async with open_socks(by_host({f"{url}.test": closed for url in urls}, good)) as fake:
        client = Client([NODE])
        asking = prober(
            FakeTunnels(fake.tunnel(client)), urls=[f"http://{url}.test/204" for url in urls]
        )
        asked = []
        for confirm in (False, True):
            fake.firsts.clear()
            result = await asking.probe(NODE, confirm=confirm)
            assert result.reason is Reason.AUTH_OR_RESET
            hosts = [first.host.removesuffix(".test") for first in fake.firsts]
            assert hosts.pop() == "self", "the control request comes last"
            asked.append(hosts)

    assert asked == [usual, confirming]


async def test_confirming_url_tells_the_reason() -> None:
    """Of two failures, the one that was asked first is told."""
    plays = {"one.test": closed, "two.test": blocked}
    async with open_socks(by_host(plays, good)) as fake:
        asking = prober(FakeTunnels(fake.tunnel(Client([NODE]))))
        result = await asking.probe(NODE, confirm=True)

    assert (result.outcome, result.reason) == (Outcome.FAILURE, Reason.HTTP_STATUS)


async def test_our_own_resolver_blames_nobody() -> None:
    """When our resolver does not answer for the node's name, the node is not to blame."""
    log = (
        b"[Info] [1] app/dispatcher: taking detour [n0] for [tcp:one.test:80]\n"
        b"[Info] [1] x: failed to process outbound traffic > [dial tcp: lookup n.example on "
        b"127.0.0.53:53: server misbehaving]\n"
    )
    probed = await probe(closed, closed, log=log)

    assert probed.verdict == (Outcome.INCONCLUSIVE, Reason.RESOLVER)
