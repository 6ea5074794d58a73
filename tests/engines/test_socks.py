"""SOCKS5, byte by byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.engines import socks
from healthd.errors import TunnelError
from healthd.model import Reason

CONNECTED_V4 = b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50"
CONNECTED_V6 = b"\x05\x00\x00\x04" + bytes(16) + b"\x00\x50"
CONNECTED_NAME = b"\x05\x00\x00\x03\x03a.b\x00\x50"
CONNECTED = [CONNECTED_V4, CONNECTED_V6, CONNECTED_NAME, b"\x05\x00\x00\x03\x00\x00\x50"]


class TestRequest:
    def test_authentication(self):
        """Greeting, one method, then user and password, each behind its length in bytes."""
        assert (
            socks.authentication("n1", "päss!")
            == b"\x05\x01\x02\x01\x02n1\x06\x70\xc3\xa4\x73\x73\x21"
        )

    def test_connect(self):
        """By name, so that the node resolves it; the port in network order."""
        assert socks.connect("example.com", 443) == b"\x05\x01\x00\x03\x0bexample.com\x01\xbb"

    @pytest.mark.parametrize(
        ("host", "port"), [("exämple.com", 443), ("a" * 256, 443), ("a", 65536)]
    )
    def test_connect_to_what_socks_cannot_carry(self, host, port):
        """Such a check URL is refused by the configuration; here it is a plain error."""
        with pytest.raises((ValueError, OverflowError)):
            socks.connect(host, port)


class TestReply:
    @pytest.mark.parametrize("connected", CONNECTED, ids=["v4", "v6", "name", "empty name"])
    @pytest.mark.parametrize("rest", [b"", b"HTTP/1.1 204"], ids=["alone", "with an answer"])
    def test_length(self, connected, rest):
        """Both answers are measured; what follows belongs to the request."""
        reply = socks.AUTHENTICATED + connected

        assert len(reply) == socks.reply_length(reply + rest)

    @pytest.mark.parametrize("connected", CONNECTED, ids=["v4", "v6", "name", "empty name"])
    def test_fragments(self, connected):
        """However short the piece that is there, it is either complete or needs more."""
        reply = socks.AUTHENTICATED + connected

        assert [None] * len(reply) == [socks.reply_length(reply[:n]) for n in range(len(reply))]

    @pytest.mark.parametrize(
        ("reply", "reason", "words"),
        [
            (b"\x05\x02\x01\xff", Reason.FOREIGN_PORT, "as our client would"),
            (b"\x05\xff", Reason.FOREIGN_PORT, "as our client would"),
            (b"\x05\x00", Reason.FOREIGN_PORT, "as our client would"),
            (b"H", Reason.FOREIGN_PORT, "as our client would"),
            (b"HTTP/1.1 400 Bad Request", Reason.FOREIGN_PORT, "as our client would"),
            (b"\x05\x02\x01\x00HTTP", Reason.FOREIGN_PORT, "does not speak SOCKS5"),
            (b"\x05\x02\x01\x00\x05\x00\x00\x02", Reason.FOREIGN_PORT, "does not speak SOCKS5"),
            (b"\x05\x02\x01\x00\x05\x05\x00\x01", Reason.AUTH_OR_RESET, "SOCKS reply 5"),
            (b"\x05\x02\x01\x00\x05\x01\x00\x09", Reason.AUTH_OR_RESET, "SOCKS reply 1"),
        ],
        ids=[
            *("other password", "no method", "no password wanted", "one byte", "HTTP"),
            *("half a client", "unknown address type", "refused", "failed"),
        ],
    )
    def test_refuses(self, reply, reason, words):
        """Who answers otherwise is not our client, or refuses the request."""
        with pytest.raises(TunnelError, match=words) as refused:
            socks.reply_length(reply)

        assert reason is refused.value.reason

    @given(st.binary(max_size=300), st.booleans())
    def test_any_bytes(self, tail, authenticated):
        """Whatever answers, it is measured, awaited or a TunnelError; never anything else."""
        reply = (socks.AUTHENTICATED if authenticated else b"") + tail
        try:
            length = socks.reply_length(reply)
        except TunnelError as refused:
            assert refused.reason in {Reason.FOREIGN_PORT, Reason.AUTH_OR_RESET}
        else:
            assert length is None or 11 <= length <= len(reply)
