"""Endpoints become a configuration for Xray, and its words become reasons."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.engines import xray, xray_outbound
from healthd.engines.reasons import classify
from healthd.engines.xray import LogReader
from healthd.model import Reason
from tests.builders import tls, vless
from tests.strategies import any_vless

NODES = {"n0": vless(), "n1": vless(address="192.0.2.11", security=tls())}


def config(nodes=NODES):
    return json.loads(xray.client_config(nodes, port=40001, password="s3cret"))


class TestClientConfig:
    def test_first_outbound_is_a_blackhole(self):
        """What no rule matches goes to the first outbound: nothing may leave past its node."""
        assert config()["outbounds"][0] == {"tag": "block", "protocol": "blackhole"}

    def test_one_outbound_for_each_tag_and_one_for_the_control(self):
        """Behind it follow the nodes in their order, and the way straight out."""
        outbounds = config()["outbounds"][1:]

        assert [(outbound["tag"], outbound["protocol"]) for outbound in outbounds] == [
            ("n0", "vless"),
            ("n1", "vless"),
            ("control", "freedom"),
        ]
        assert [
            xray_outbound.outbound(endpoint, tag) for tag, endpoint in NODES.items()
        ] == outbounds[:-1]
        assert outbounds[-1]["settings"] == {"finalRules": [{"action": "allow"}]}

    def test_one_account_and_one_rule_for_each(self):
        """The user name alone decides the way: each account has its rule."""
        found = config()
        (inbound,) = found["inbounds"]

        assert [{"user": tag, "pass": "s3cret"} for tag in ("n0", "n1", "control")] == inbound[
            "settings"
        ]["accounts"]
        assert [{"user": [tag], "outboundTag": tag} for tag in ("n0", "n1", "control")] == found[
            "routing"
        ]["rules"]

    def test_inbound(self):
        """SOCKS with a password, on loopback, for TCP only."""
        (inbound,) = config()["inbounds"]

        assert (
            inbound["listen"],
            inbound["port"],
            inbound["protocol"],
        ) == ("127.0.0.1", 40001, "socks")
        assert (inbound["settings"]["auth"], inbound["settings"]["udp"]) == ("password", False)

    def test_log(self):
        """Reasons are logged at info; the access log stays off."""
        assert config()["log"] == {"loglevel": "info", "access": "none"}

    def test_no_nodes(self):
        """A client for the control request alone is possible."""
        assert [out["tag"] for out in config({})["outbounds"]] == ["block", "control"]

    @given(st.dictionaries(st.integers(0, 99).map("n{}".format), any_vless, max_size=4))
    def test_any_endpoints(self, nodes):
        """Whatever the endpoints hold, the configuration is JSON with a way for each tag."""
        found = config(nodes)

        assert ["block", *nodes, "control"] == [out["tag"] for out in found["outbounds"]]
        assert [e.user for e in nodes.values()] == [
            outbound["settings"]["id"] for outbound in found["outbounds"][1:-1]
        ]


FAILED = "app/proxyman/outbound: app/proxyman/outbound: failed to process outbound traffic"
VLESS = "proxy/vless/outbound: failed to find an available destination"
RETRY = "common/retry: all retry attempts failed"


def line(session: int, words: str) -> str:
    return f"2026/11/23 23:58:43.098911 [Info] [{session}] {words}\n"


def detour(session: int, tag: str) -> str:
    return line(session, f"app/dispatcher: taking detour [{tag}] for [tcp:localhost:39137]")


def failed(session: int, why: str) -> str:
    return line(session, f"{FAILED} > {VLESS} > common/retry: [{why}] > {RETRY}")


def words(why: str) -> str:
    return f"{VLESS} > common/retry: [{why}] > {RETRY}"


CONNECTION_REFUSED = "dial tcp 127.0.0.1:48943: connect: connection refused"
NO_SUCH_HOST = "dial tcp: lookup nowhere.invalid on 10.1.1.1:53: no such host"
UNKNOWN_AUTHORITY = "x509: certificate signed by unknown authority"

# Three nodes in one client, their lines interleaved, among lines that say nothing.
LOG = "".join(
    [
        "Xray 26.3.27 (Xray, Penetrates Everything.) (go1.26.1 linux/amd64)\n",
        line(3490829107, "proxy/socks: TCP Connect request to tcp:localhost:39137"),
        detour(3490829107, "a"),
        detour(1200000001, "b"),
        detour(77, "control"),
        line(77, "proxy/freedom: connection opened to tcp:localhost:39137"),
        detour(1200000002, "c"),
        failed(1200000001, NO_SUCH_HOST),
        line(3490829107, "transport/internet/tcp: dialing TCP to tcp:127.0.0.1:48943"),
        failed(3490829107, CONNECTION_REFUSED),
        failed(1200000002, UNKNOWN_AUTHORITY),
    ]
).encode()
FOUND = {
    "a": (Reason.REFUSED, words(CONNECTION_REFUSED)),
    "b": (Reason.DNS, words(NO_SUCH_HOST)),
    "c": (Reason.TLS, words(UNKNOWN_AUTHORITY)),
}


class TestLogReader:
    def test_joins_by_session(self):
        """Interleaved sessions end at the right node, each with Xray's own words."""
        reader = LogReader()

        assert reader.feed(LOG)
        assert reader.failures == FOUND

    @given(st.lists(st.integers(0, len(LOG)), max_size=12))
    def test_split_anywhere(self, cuts):
        """Output comes in chunks that end where they like; what is read is the same."""
        borders = [0, *sorted(cuts), len(LOG)]
        reader = LogReader()

        news = [reader.feed(LOG[a:b]) for a, b in itertools.pairwise(borders)]

        assert reader.failures == FOUND
        assert 1 <= news.count(True) <= 3

    def test_byte_by_byte(self):
        """A new failure is told with the end of its line, once."""
        reader = LogReader()

        news = [reader.feed(LOG[index : index + 1]) for index in range(len(LOG))]

        assert news.count(True) == 3
        assert {b"\n"} == {LOG[i : i + 1] for i, told in enumerate(news) if told}

    def test_failure_of_nobody(self):
        """A failure whose detour was dropped from the log has no reason, never a wrong one."""
        reader = LogReader()

        assert not reader.feed((detour(1, "a") + failed(2, CONNECTION_REFUSED)).encode())
        assert reader.failures == {}

    def test_latest_failure_wins(self):
        """Each session is told once; a later session of the same node replaces it."""
        reader = LogReader()
        reader.feed((detour(1, "a") + failed(1, CONNECTION_REFUSED)).encode())

        assert not reader.feed(failed(1, NO_SUCH_HOST).encode())
        assert reader.feed((detour(2, "a") + failed(2, UNKNOWN_AUTHORITY)).encode())
        assert {"a": (Reason.TLS, words(UNKNOWN_AUTHORITY))} == reader.failures

    def test_session_number_used_again(self):
        """The latest detour of a number counts."""
        reader = LogReader()
        reader.feed((detour(1, "a") + detour(1, "b") + failed(1, NO_SUCH_HOST)).encode())

        assert list(reader.failures) == ["b"]

    def test_output_that_is_no_log(self):
        """Bytes of any kind and lines without a number are passed over."""
        reader = LogReader()

        assert not reader.feed(b"\xff\x00 panic: [1] nothing\n\n[abc] failed to process\n")
        assert reader.failures == {}

    def test_failure_of_xhttp(self):
        """XHTTP tells its failure in a line of its own, and nothing else follows."""
        reader = LogReader()
        why = 'Post "https://a.test/hidden/": dial tcp 127.0.0.1:9: connect: connection refused'
        told = f"transport/internet/splithttp: failed to POST https://a.test/hidden/ > {why}"

        assert reader.feed((detour(1, "a") + line(1, told)).encode())
        assert {"a": (Reason.REFUSED, why.replace("/hidden/", "/…"))} == reader.failures

    def test_paths_are_not_told(self):
        """The path of a WebSocket is known to its users only."""
        reader = LogReader()
        why = "failed to dial to (wss://127.0.0.1:9/hidden?ed=2048):  > connection refused"

        assert reader.feed((detour(1, "a") + failed(1, why)).encode())
        assert "(wss://127.0.0.1:9/…):" in reader.failures["a"][1]

    def test_words_that_are_not_utf8(self):
        """Bytes that are no text do not hide the reason."""
        reader = LogReader()
        lines = detour(1, "a").encode() + failed(1, "connection refused").encode()

        assert reader.feed(lines.replace(b"connection", b"\xff connection"))
        assert Reason.REFUSED is reader.failures["a"][0]


class TestClassify:
    @pytest.mark.parametrize(
        ("why", "expected"),
        [
            (CONNECTION_REFUSED, Reason.REFUSED),
            ("dial tcp [2001:db8::1]:443: connect: network is unreachable", Reason.UNREACHABLE),
            ("dial tcp 192.0.2.1:443: connect: no route to host", Reason.UNREACHABLE),
            (NO_SUCH_HOST, Reason.DNS),
            ("lookup a.example on 10.1.1.1:53: server misbehaving", Reason.RESOLVER),
            ("failed to lookup DNS for a.example", Reason.DNS),
            (UNKNOWN_AUTHORITY, Reason.TLS),
            ("x509: certificate is valid for a.example, not b.example", Reason.TLS),
            ("remote error: tls: handshake failure", Reason.TLS),
            ("tls: first record does not look like a TLS handshake", Reason.TLS),
            (
                "REALITY: received real certificate (potential MITM or redirection)",
                Reason.REALITY,
            ),
            ("REALITY: processed invalid connection", Reason.REALITY),
            ("dial tcp 192.0.2.1:443: i/o timeout", Reason.TIMEOUT),
            ("context deadline exceeded", Reason.TIMEOUT),
            ("read tcp 1.2.3.4:5->6.7.8.9:443: connection reset by peer", Reason.AUTH_OR_RESET),
            ("EOF", Reason.AUTH_OR_RESET),
            ("", Reason.AUTH_OR_RESET),
        ],
    )
    def test_words(self, why, expected):
        """The engine's words, alone or in their chain, become one of the fixed reasons."""
        assert expected is classify(why)
        assert expected is classify(words(why))
        assert expected is classify(why.upper())

    @pytest.mark.parametrize(
        ("why", "expected"),
        [
            ("dial tcp: lookup reality.example.com on 10.1.1.1:53: no such host", Reason.DNS),
            ("x509: certificate is valid for a.example, not reality.example.com", Reason.TLS),
            ("dial tcp: lookup utls.example.com on 10.1.1.1:53: no such host", Reason.DNS),
            ("dial tcp: lookup x509.example.com: i/o timeout", Reason.RESOLVER),
        ],
    )
    def test_host_names_are_no_clues(self, why, expected):
        """A node called reality.example.com does not make every fault one of REALITY."""
        assert expected is classify(words(why))


REFUSAL = (
    "Xray 26.3.27 (Xray, Penetrates Everything.)\n"
    "Failed to start: main: failed to load config files: [stdin:] > infra/conf: failed to build "
    "outbound config with tag n1 > infra/conf: failed to build stream settings > empty password \n"
)


class TestRefusal:
    def test_tag_and_words(self):
        """Xray names the outbound it refuses, and says why."""
        expected = ("n1", "infra/conf: failed to build stream settings > empty password")

        assert expected == xray.rejected_tag(REFUSAL)

    @pytest.mark.parametrize("output", ["", "Failed to start: main: invalid character 'x'\n"])
    def test_no_tag(self, output):
        """When it names none, nobody is accused."""
        assert xray.rejected_tag(output) is None

    @pytest.mark.parametrize(
        ("output", "expected"),
        [
            ("", "no output"),
            ("\n \n", "no output"),
            ("one\ntwo\n\n", "two"),
            ("Xray 26\nFailed to start: main: bad > worse\ntrailer\n", "main: bad > worse"),
        ],
    )
    def test_last_words(self, output, expected):
        """The line in which it says why it ended, or else its last one."""
        assert expected == xray.last_words(output)

    @pytest.mark.parametrize(
        ("code", "expected"), [(23, True), (255, False), (0, False), (-9, False)]
    )
    def test_is_it_the_configuration(self, code, expected):
        """Its exit code tells."""
        assert xray.refuses(code, REFUSAL) is expected
