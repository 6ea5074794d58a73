"""Endpoints become a configuration for sing-box, and its words become reasons."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.endpoints import Endpoint, Hysteria2, QuicTls, Tuic
from healthd.engines import singbox
from healthd.engines.dialect import Engine, EngineName
from healthd.engines.singbox import LogReader
from healthd.engines.singbox_outbound import outbound
from healthd.model import Reason

USER = "b831381d-6324-4d53-ad4f-8cda48b30811"
TLS = QuicTls(server_name="node.test", alpn=("h3",))
NODES: dict[str, Endpoint] = {
    "n0": Tuic(address="192.0.2.1", port=443, user=USER, password="pw", tls=TLS),
    "n1": Hysteria2(address="192.0.2.2", port=443, auth="pw", tls=TLS),
}


def config(nodes=NODES):
    return json.loads(singbox.client_config(nodes, port=0, password="s3cret"))


class TestClientConfig:
    def test_one_outbound_for_each_tag_and_one_for_the_control(self):
        """The nodes in their order, then the way straight out."""
        *nodes, control = config()["outbounds"]

        assert [outbound(endpoint, tag) for tag, endpoint in NODES.items()] == nodes
        assert control == {"type": "direct", "tag": "control"}

    def test_one_account_and_one_rule_for_each(self):
        """The user name alone decides the way; what no rule matches is rejected."""
        found = config()
        (inbound,) = found["inbounds"]
        *rules, last = found["route"]["rules"]

        assert [
            {"username": tag, "password": "s3cret"} for tag in ("n0", "n1", "control")
        ] == inbound["users"]
        assert [
            {"auth_user": [tag], "action": "route", "outbound": tag}
            for tag in ("n0", "n1", "control")
        ] == rules
        assert last == {"action": "reject"}

    def test_inbound_and_log(self):
        """SOCKS on loopback; reasons are logged as errors, the port at info."""
        found = config()
        (inbound,) = found["inbounds"]

        assert (
            inbound["type"],
            inbound["listen"],
            inbound["listen_port"],
        ) == ("socks", "127.0.0.1", 0)
        assert found["log"] == {"level": "info"}

    def test_no_nodes(self):
        """A client for the control request alone is possible."""
        assert [out["tag"] for out in config({})["outbounds"]] == ["control"]


STARTED = (
    "INFO[0000] inbound/socks[in]: tcp server started at 127.0.0.1:40785\n"
    "INFO[0000] network: updated default interface eth0, index 4\n"
    "INFO[0000] sing-box started (0.00s)\n"
)


def failed(tag: str, words: str, kind: str = "tuic") -> str:
    return (
        f"ERROR[0000] [1108363732 8ms] connection: open connection to localhost:1 "
        f"using outbound/{kind}[{tag}]: {words}\n"
    )


REFUSED = "open connection: sendmsg: connection refused"
AUTHORITY = (
    "CRYPTO_ERROR 0x12a (local): tls: failed to verify certificate: x509: certificate signed by "
    "unknown authority"
)
LOG = (
    STARTED
    + "INFO[0000] [1 0ms] outbound/tuic[a]: outbound connection to localhost:33303\n"
    + failed("a", REFUSED)
    + "ERROR[0000] [3 0ms] inbound/socks[in]: process connection from 127.0.0.1:4: socks5: "
    "authentication failed, username=nobody, password=x\n" + failed("b", AUTHORITY, "hysteria2")
).encode()
FOUND = {"a": (Reason.REFUSED, REFUSED), "b": (Reason.TLS, AUTHORITY)}


class TestLogReader:
    def test_port_and_failures(self):
        """Where it listens, and for each node why it failed."""
        reader = LogReader()

        assert reader.feed(LOG)
        assert (reader.port, reader.failures) == (40785, FOUND)

    @given(st.lists(st.integers(0, len(LOG)), max_size=12))
    def test_split_anywhere(self, cuts):
        """Output comes in chunks that end where they like; what is read is the same."""
        borders = [0, *sorted(cuts), len(LOG)]
        reader = LogReader()

        news = [reader.feed(LOG[a:b]) for a, b in itertools.pairwise(borders)]

        assert (reader.port, reader.failures) == (40785, FOUND)
        assert 1 <= news.count(True) <= 3

    def test_listening_is_not_started(self):
        """The port counts only when all is up: before that, a connection might be lost."""
        reader = LogReader()
        listening, behind = STARTED.split("INFO[0000] sing-box")

        assert not reader.feed(listening.encode())
        assert reader.port == 0
        assert reader.feed(f"INFO[0000] sing-box{behind}".encode())
        assert reader.port == 40785

    def test_latest_failure_wins(self):
        """A later one replaces it."""
        reader = LogReader()
        reader.feed((failed("a", REFUSED) + failed("a", AUTHORITY)).encode())

        assert reader.failures == {"a": (Reason.TLS, AUTHORITY)}

    def test_output_that_is_no_log(self):
        """Bytes of any kind are passed over."""
        reader = LogReader()

        assert not reader.feed(b"\xff\x00 panic: connection: open connection to\n\n[n0]: x\n")
        assert reader.failures == {}

    def test_words_that_are_not_utf8(self):
        """Bytes that are no text do not hide the reason."""
        reader = LogReader()

        assert reader.feed(failed("a", REFUSED).encode().replace(b"sendmsg", b"\xff"))
        assert Reason.REFUSED is reader.failures["a"][0]


TAGS = ["n0", "n1"]
INITIALIZE = "FATAL[0000] create service: initialize outbound[1]: invalid uuid: incorrect length\n"
DECODE = 'FATAL[0000] decode config at stdin: outbounds[0].tls.foo: json: unknown field "foo"\n'
KIND = "FATAL[0000] decode config at stdin: outbounds[1]: unknown outbound type: nothing\n"
BUSY = "FATAL[0000] start service: start inbound/socks[in]: listen tcp: address already in use\n"


class TestRefusal:
    @pytest.mark.parametrize(
        ("output", "expected"),
        [
            (INITIALIZE, ("n1", "invalid uuid: incorrect length")),
            (DECODE, ("n0", 'json: unknown field "foo"')),
            (KIND, ("n1", "unknown outbound type: nothing")),
            (STARTED + KIND, ("n1", "unknown outbound type: nothing")),
            ("FATAL[0000] initialize outbound[2]: the control's\n", None),
            ("FATAL[0000] decode config at stdin: unexpected end of JSON input\n", None),
            ("", None),
        ],
    )
    def test_number_becomes_the_tag(self, output, expected):
        """It names the outbound by its place; nobody is accused when that is no node's."""
        assert expected == singbox.rejected_tag(output, TAGS)

    @pytest.mark.parametrize(
        ("code", "output", "expected"),
        [
            (1, INITIALIZE, True),
            (1, DECODE, True),
            (1, BUSY, False),
            (1, "panic: something\n", False),
            (2, DECODE, False),
            (-9, "", False),
            (0, "", False),
        ],
    )
    def test_is_it_the_configuration(self, code, output, expected):
        """It exits with 1 whatever is wrong: its words tell what."""
        assert singbox.refuses(code, output) is expected

    @pytest.mark.parametrize(
        ("output", "expected"),
        [
            ("", "no output"),
            ("one\n two \n\n", "two"),
            (INITIALIZE + "trailer\n", "initialize outbound[1]: invalid uuid: incorrect length"),
            (BUSY, "start service: start inbound/socks[in]: listen tcp: address already in use"),
        ],
    )
    def test_last_words(self, output, expected):
        """The line in which it says why it ended, or else its last one."""
        assert expected == singbox.last_words(output)


def test_manners():
    """Where it differs from Xray: its port is its own choice, and the request waits."""
    dialect = singbox.DIALECT

    assert EngineName.SING_BOX is dialect.name
    assert (dialect.chooses_port, dialect.one_write) == (True, False)
    assert dialect.conflict(NODES["n1"]) is None


@pytest.mark.parametrize(
    ("tags", "expected"), [({"with_quic", "with_utls"}, True), ({"with_quic"}, False), ((), False)]
)
def test_builds_differ(tags, expected):
    """REALITY and imitated browsers need a build that has them."""
    assert Engine("/sing-box", "1.14.4", frozenset(tags)).has_utls is expected
