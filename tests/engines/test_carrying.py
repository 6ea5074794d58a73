"""Which engine carries which node, and who cannot share a process."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.endpoints import Hysteria2, QuicTls, Tuic
from healthd.engines.carrying import DIALECTS, apart, carrier
from healthd.engines.dialect import EngineName
from healthd.errors import EngineRejected
from tests.builders import node, vless
from tests.strategies import any_endpoint

XRAY, SING_BOX = EngineName.XRAY, EngineName.SING_BOX
BOTH = frozenset(EngineName)
USER = "b831381d-6324-4d53-ad4f-8cda48b30811"
TUIC = Tuic(address="192.0.2.1", port=443, user=USER, password="pw")


def hysteria2(host: str = "192.0.2.1", *, port: int = 443, **tls) -> Hysteria2:
    return Hysteria2(address=host, port=port, auth="pw", tls=QuicTls(**tls))


PIN = "ab" * 32


class TestCarrier:
    @pytest.mark.parametrize(
        ("endpoint", "preference", "installed", "expected"),
        [
            (vless(), "xray", BOTH, XRAY),
            (vless(), "sing-box", BOTH, XRAY),
            (TUIC, "xray", BOTH, SING_BOX),
            (hysteria2(), "xray", BOTH, XRAY),
            (hysteria2(), "sing-box", BOTH, SING_BOX),
            (hysteria2(), "sing-box", {XRAY}, XRAY),
            (hysteria2(insecure=True), "xray", BOTH, SING_BOX),
            (hysteria2(pinned_sha256=PIN), "sing-box", BOTH, XRAY),
        ],
        ids=[
            *("all-xray", "only-hysteria2-is-chosen", "tuic", "hysteria2", "as-wished"),
            *("wished-but-missing", "insecure", "pinned"),
        ],
    )
    def test_choice(self, endpoint, preference, installed, expected):
        """By what can carry it, the operator's wish, and what is there."""
        assert expected is carrier(endpoint, preference, installed)

    @pytest.mark.parametrize(
        ("endpoint", "words"),
        [
            (TUIC, "no sing-box here, which this node needs; run 'healthd engines install'"),
            (hysteria2(insecure=True), "no sing-box here, which this node needs (Xray always"),
        ],
    )
    def test_missing_engine_is_told(self, endpoint, words):
        """Whose node needs sing-box hears how to get it, and why Xray would not do."""
        with pytest.raises(EngineRejected) as caught:
            carrier(endpoint, "xray", {XRAY})

        assert caught.value.words.startswith(words)
        assert caught.value.words.endswith("or set engines.sing_box to its path")

    @pytest.mark.parametrize("installed", [BOTH, {XRAY}])
    def test_what_no_engine_can(self, installed):
        """An engine's own objection is told when installing another would not help."""
        pinned = replace(TUIC, tls=QuicTls(pinned_sha256=PIN))

        with pytest.raises(EngineRejected) as caught:
            carrier(pinned, "xray", installed)

        assert DIALECTS[SING_BOX].why_not(pinned) == caught.value.words

    @given(any_endpoint, st.sampled_from(["xray", "sing-box"]), st.sampled_from([BOTH, {XRAY}]))
    def test_any_endpoint(self, endpoint, preference, installed):
        """Whoever is chosen is there and has no objection; the words of refusal hold no secret."""
        try:
            name = carrier(endpoint, preference, installed)
        except EngineRejected as why:
            long = [secret for secret in endpoint.secrets() if len(secret) > 7]
            assert not any(secret in why.words for secret in long)
        else:
            assert name in installed
            assert DIALECTS[name].why_not(endpoint) is None


class TestApart:
    def test_hysteria2_at_one_place(self):
        """Xray would use the first one's password for both."""
        nodes = [
            node("a", endpoint=hysteria2()),
            node("b", endpoint=vless()),
            node("c", endpoint=hysteria2(server_name="x")),
            node("d", endpoint=hysteria2(port=444)),
            node("e", endpoint=hysteria2(server_name="y")),
            node("f", endpoint=hysteria2("192.0.2.2")),
        ]

        groups = apart(nodes, DIALECTS[XRAY])

        assert [[n.id for n in each] for each in groups] == [["a", "b", "d", "f"], ["c"], ["e"]]

    def test_sing_box_shares(self):
        """Its outbounds know nothing of each other."""
        nodes = [node(name, endpoint=hysteria2()) for name in "abc"]

        assert [nodes] == apart(nodes, DIALECTS[SING_BOX])

    def test_nobody(self):
        """No node at all is one empty group."""
        assert apart([], DIALECTS[XRAY]) == [[]]

    @given(st.lists(st.integers(0, 3), max_size=20))
    def test_no_node_is_lost(self, ports):
        """Each is in one group; none meets its like; the first is in the first."""
        nodes = [node(f"n{i}", endpoint=hysteria2(port=port + 1)) for i, port in enumerate(ports)]

        groups = apart(nodes, DIALECTS[XRAY])

        assert sorted(n.id for n in nodes) == sorted(n.id for each in groups for n in each)
        for group in groups:
            assert len({n.endpoint.port for n in group}) == len(group)
        assert len(groups) == max([1, *(ports.count(port) for port in ports)])
        assert groups[0][:1] == nodes[:1]
