"""What every renderer needs, links.txt and xray.json."""

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.fleet.links import parse
from healthd.publishing import links, xray
from healthd.publishing.about import About, headers, unique_names
from tests.builders import node, node_lists, nodes, tls, vless
from tests.publishing.fleets import ENDPOINTS, VARIED
from tests.strategies import any_endpoint, texts

CHECK_URL = "https://www.example.com/generate_204"
PLAIN = About(check_url=CHECK_URL)
FLEET = [
    node("de-1", name="Germany 🇩🇪"),
    node("nl-1", endpoint=vless(address="192.0.2.11", security=tls())),
    node("fi-1", endpoint=vless(address="2001:db8::1", security=None)),
]


ANY_NODE = st.builds(
    lambda endpoint, name: node("n", name=name, endpoint=endpoint), any_endpoint, texts()
)


def about(title="", refresh=3600.0):
    return About(check_url=CHECK_URL, title=title, client_refresh=refresh)


def lines_of(document: bytes) -> list[str]:
    return base64.b64decode(document).decode().split("\n")


class TestHeaders:
    @pytest.mark.parametrize(
        ("refresh", "hours"),
        [(0.0, 1), (60.0, 1), (3600.0, 1), (5400.0, 1), (7200.0, 2), (86400.0, 24)],
    )
    def test_interval(self, refresh, hours):
        """Clients know whole hours only, and at least one: no later than what was asked for."""
        assert headers(about(refresh=refresh)) == [f"#profile-update-interval: {hours}"]

    @pytest.mark.parametrize(
        ("title", "shown"),
        [
            ("My fleet", "My fleet"),
            ("Flotte 🇩🇪", "base64:RmxvdHRlIPCfh6nwn4eq"),
            ("base64:YQ==", "base64:YmFzZTY0OllRPT0="),
        ],
    )
    def test_title(self, title, shown):
        """What is not plain ASCII is encoded, and what would be taken for that as well."""
        assert headers(about(title)) == [f"#profile-title: {shown}", "#profile-update-interval: 1"]


class TestUniqueNames:
    @pytest.mark.parametrize(
        ("given_names", "taken", "expected"),
        [
            (["a", "b"], [], ["a", "b"]),
            (["a", "a", "a"], [], ["a", "a 2", "a 3"]),
            (["a", "a 2", "a"], [], ["a", "a 2", "a 3"]),
            (["a", "a", "a 2"], [], ["a", "a 2", "a 2 2"]),
            (["auto", "x", "auto"], ["auto", "auto 2"], ["auto 3", "x", "auto 4"]),
        ],
    )
    def test_table(self, given_names, taken, expected):
        """The first of a name keeps it, unless it is taken; the others get a number."""
        fleet = [node("n", name=name) for name in given_names]

        assert unique_names(fleet, taken) == expected

    @given(st.lists(st.sampled_from(["a", "a 2", "b", "a 2 2"]), max_size=9))
    def test_always_unique(self, given_names):
        """However names repeat, no two nodes end with the same, and none with a taken one."""
        found = unique_names([node("n", name=name) for name in given_names], {"b"})

        assert len(set(found)) == len(given_names)
        assert "b" not in found

    def test_many_of_one_name(self):
        """Ten thousand nodes of one name are named at once, not in minutes."""
        found = unique_names([FLEET[0]] * 10_000, ())

        assert found[-1] == f"{FLEET[0].name} 10000"


class TestLinks:
    def test_holds_the_links_in_order(self):
        """The document is base64, in one line, of headers and the links in failover order."""
        document = links.render(FLEET, about("My fleet"))

        lines = lines_of(document)
        assert lines[:2] == headers(about("My fleet"))
        assert [(n.endpoint, n.name) for n in FLEET] == [parse(line) for line in lines[2:]]
        assert document.endswith(b"\n")
        assert len(document.splitlines()) == 1

    def test_every_protocol(self):
        """All that the model knows has a link."""
        links.verify(links.render(VARIED, PLAIN), VARIED)

        assert [links.why_not(endpoint) for endpoint in ENDPOINTS.values()] == [None] * len(VARIED)

    def test_is_deterministic(self):
        """Equal fleets give equal bytes, and another order gives others."""
        assert links.render(FLEET, PLAIN) == links.render(list(FLEET), PLAIN)
        assert links.render(FLEET, PLAIN) != links.render(FLEET[::-1], PLAIN)

    @given(
        st.lists(
            st.builds(lambda e, name: node("n", name=name, endpoint=e), any_endpoint, texts()),
            max_size=3,
        )
    )
    def test_verifies_what_it_renders(self, fleet):
        """Whatever a node is called and carries, its document reads back as the nodes."""
        document = links.render(fleet, PLAIN)

        assert document.isascii()
        links.verify(document, fleet)

    @pytest.mark.parametrize(
        "document",
        [
            links.render(FLEET[:2], PLAIN),
            links.render(FLEET[::-1], PLAIN),
            links.render([*FLEET[:2], node("fi-1", endpoint=vless(port=1))], PLAIN),
            links.render([*FLEET[:2], node("x", endpoint=FLEET[2].endpoint)], PLAIN),
            base64.b64encode(b"\xff"),
            b"YWJjZ",
            base64.b64encode(b"nothing://x"),
            b"\n",
        ],
        ids=[
            *("one missing", "other order", "other endpoint", "other name"),
            *("not UTF-8", "not base64", "no link", "empty"),
        ],
    )
    def test_verify_refuses(self, document):
        """A document that a client would read otherwise must not go live."""
        with pytest.raises(ValueError, match=r"."):
            links.verify(document, FLEET)


class TestXray:
    def test_automatic_first_then_one_for_each(self):
        """The first configuration fails over by itself; each node follows for choice by hand."""
        configs = json.loads(xray.render(FLEET, about("My fleet")))

        assert [c["remarks"] for c in configs] == ["My fleet", "Germany 🇩🇪", "nl-1", "fi-1"]
        assert [len(config["outbounds"]) for config in configs] == [3, 1, 1, 1]

    def test_title(self):
        """Without a title of its own the automatic one is called Auto."""
        assert json.loads(xray.render(FLEET, PLAIN))[0]["remarks"] == "Auto"

    def test_automatic(self):
        """A balancer over all nodes, measured against the check URL; the first is the fallback."""
        automatic = json.loads(xray.render(FLEET, PLAIN))[0]

        assert [out["tag"] for out in automatic["outbounds"]] == ["node-1", "node-2", "node-3"]
        assert automatic["routing"] == {
            "domainStrategy": "AsIs",
            "rules": [{"network": "tcp,udp", "balancerTag": "failover"}],
            "balancers": [
                {
                    "tag": "failover",
                    "selector": ["node-"],
                    "strategy": {"type": "leastPing"},
                    "fallbackTag": "node-1",
                }
            ],
        }
        assert automatic["observatory"] == {
            "subjectSelector": ["node-"],
            "probeUrl": CHECK_URL,
            "probeInterval": "1m",
            "enableConcurrency": True,
        }

    def test_single(self):
        """A configuration for one node sends everything through it."""
        single = json.loads(xray.render(FLEET, PLAIN))[2]

        (outbound,) = single["outbounds"]
        assert (outbound["tag"], outbound["settings"]["address"]) == ("proxy", "192.0.2.11")
        assert single["routing"]["rules"] == [{"network": "tcp,udp", "outboundTag": "proxy"}]
        assert "observatory" not in single

    def test_inbounds(self):
        """All listen on loopback only, where v2rayN and v2rayNG expect their core."""
        for config in json.loads(xray.render(FLEET, PLAIN)):
            assert [(i["listen"], i["protocol"], i["port"]) for i in config["inbounds"]] == [
                ("127.0.0.1", "socks", 10808),
                ("127.0.0.1", "http", 10809),
            ]

    @pytest.mark.parametrize("count", [1, 9, 10, 12, 100])
    def test_tags_sort_in_failover_order(self, count):
        """Xray sorts what a balancer selects by name: that order must be ours."""
        outbounds = json.loads(xray.render(nodes(count), PLAIN))[0]["outbounds"]

        tags = [outbound["tag"] for outbound in outbounds]
        assert count == len(set(tags))
        assert sorted(tags) == tags
        assert [n.endpoint.address for n in nodes(count)] == [
            outbound["settings"]["address"] for outbound in outbounds
        ]

    def test_clients_recognise_it(self):
        """V2rayNG takes a body for Xray's only if these words are in it."""
        document = xray.render(FLEET, PLAIN).decode()

        assert [word in document for word in ("inbounds", "outbounds", "routing")] == [True] * 3

    def test_is_deterministic(self):
        """Equal fleets give equal bytes, and another order gives others."""
        assert xray.render(FLEET, PLAIN) == xray.render(list(FLEET), PLAIN)
        assert xray.render(FLEET, PLAIN) != xray.render(FLEET[::-1], PLAIN)

    @given(node_lists)
    def test_any_nodes(self, fleet):
        """Whatever a node is called and carries, the document is JSON in one line, as told."""
        document = xray.render(fleet, PLAIN)

        xray.verify(document, fleet)
        assert document.count(b"\n") == 1
        assert len(xray.samples(document)) == 2

    @pytest.mark.parametrize("member", [0, 2])
    def test_verify_reads_every_outbound(self, member):
        """One that is changed, in whichever configuration, is found."""
        configs = json.loads(xray.render(FLEET, PLAIN))
        configs[member]["outbounds"][0]["settings"]["port"] = 444

        with pytest.raises(ValueError, match="does not read back"):
            xray.verify(json.dumps(configs).encode(), FLEET)

    @pytest.mark.parametrize(
        "other",
        [FLEET[:2], FLEET[::-1], [node("de-1"), *FLEET[1:]]],
        ids=["one missing", "other order", "other name"],
    )
    def test_verify_refuses(self, other):
        """A document of other nodes must not go live."""
        with pytest.raises(ValueError, match="does not read back"):
            xray.verify(xray.render(other, PLAIN), FLEET)

    def test_samples_prove_all(self):
        """The automatic one and the first single one stand for the whole document."""
        document = xray.render(FLEET, PLAIN)

        configs = json.loads(document)
        assert configs[:2] == [json.loads(sample) for sample in xray.samples(document)]

    def test_hysteria2_at_one_place(self):
        """Xray would use one connection for both: the automatic configuration has the first."""
        first: Any = ENDPOINTS["hysteria2"]
        fleet = [
            node("h1", endpoint=first),
            node("tcp", endpoint=ENDPOINTS["trojan"]),  # at the same place, but not over QUIC
            node("h2", endpoint=replace(first, auth="other")),
            node("h3", endpoint=replace(first, address="192.0.2.99")),
            node("ss", endpoint=ENDPOINTS["ss"]),
        ]
        document = xray.render(fleet, PLAIN)
        configs = json.loads(document)

        untagged = [{**each["outbounds"][0], "tag": ""} for each in configs[1:]]
        automatic = configs[0]["outbounds"]
        assert [each["remarks"] for each in configs[1:]] == ["h1", "tcp", "h2", "h3", "ss"]
        assert [{**each, "tag": ""} for each in automatic] == untagged[:2] + untagged[3:]
        assert [each["tag"] for each in automatic] == ["node-1", "node-2", "node-3", "node-4"]
        xray.verify(document, fleet)
        # The one that is in no automatic configuration is asked about by itself.
        samples = [json.loads(sample) for sample in xray.samples(document)]
        assert samples == [configs[0], configs[1], configs[3]]

    @pytest.mark.parametrize("document", [b"", b"no", b"{}", b"[]", b"[1]", b"[{}]", b"\xff"])
    def test_no_such_array(self, document):
        """Anything but an array of configurations is a ValueError, here and there."""
        for read in (xray.samples, lambda document: xray.verify(document, FLEET)):
            with pytest.raises(ValueError, match=r"xray\.json"):
                read(document)
