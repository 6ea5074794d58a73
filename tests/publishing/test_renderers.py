"""What users download: in order, the same bytes each time, and readable by who reads it."""

import base64
import json

import pytest
from hypothesis import given

from healthd.errors import LinkError
from healthd.fleet.links import parse
from healthd.publishing import links, xray
from tests.builders import node, node_lists, nodes, tls, vless

CHECK_URL = "https://www.example.com/generate_204"
FLEET = [
    node("de-1", name="Germany 🇩🇪"),
    node("nl-1", endpoint=vless(address="192.0.2.11", security=tls())),
    node("fi-1", endpoint=vless(address="2001:db8::1", security=None)),
]


def render_xray(fleet, title="") -> bytes:
    return xray.render(fleet, title=title, check_url=CHECK_URL)


def refuse_constant(name):
    raise AssertionError(f"{name} is not JSON")


class TestLinks:
    def test_holds_the_links_in_order(self):
        """The document is base64, in one line, of the links in failover order."""
        document = links.render(FLEET)

        lines = base64.b64decode(document, validate=False).decode().split("\n")
        assert [(n.endpoint, n.name) for n in FLEET] == [parse(line) for line in lines]
        assert document.endswith(b"\n")
        assert len(document.splitlines()) == 1

    def test_is_deterministic(self):
        """Equal fleets give equal bytes, and another order gives others."""
        assert links.render(FLEET) == links.render(list(FLEET))
        assert links.render(FLEET) != links.render(FLEET[::-1])

    @given(node_lists)
    def test_verifies_what_it_renders(self, fleet):
        """Whatever a node is called and carries, its document reads back as the nodes."""
        document = links.render(fleet)

        assert document.isascii()
        links.verify(document, fleet)

    @pytest.mark.parametrize(
        ("document", "error"),
        [
            (links.render(FLEET[:2]), ValueError),
            (links.render(FLEET[::-1]), ValueError),
            (links.render([*FLEET[:2], node("fi-1", endpoint=vless(port=1))]), ValueError),
            (links.render([*FLEET[:2], node("x", endpoint=FLEET[2].endpoint)]), ValueError),
            (base64.b64encode(b"\xff"), ValueError),
            (b"YWJjZ", ValueError),
            (base64.b64encode(b"ss://x"), LinkError),
            (b"\n", LinkError),
        ],
        ids=[
            *("one missing", "other order", "other endpoint", "other name"),
            *("not UTF-8", "not base64", "not VLESS", "empty"),
        ],
    )
    def test_verify_refuses(self, document, error):
        """A document that a client would read otherwise must not go live."""
        with pytest.raises(error):
            links.verify(document, FLEET)


class TestXray:
    def test_automatic_first_then_one_for_each(self):
        """The first configuration fails over by itself; each node follows for choice by hand."""
        configs = json.loads(render_xray(FLEET, title="My fleet"))

        assert [c["remarks"] for c in configs] == ["My fleet", "Germany 🇩🇪", "nl-1", "fi-1"]
        assert [len(config["outbounds"]) for config in configs] == [3, 1, 1, 1]

    def test_title(self):
        """Without a title of its own the automatic one is called Auto."""
        assert json.loads(render_xray(FLEET))[0]["remarks"] == "Auto"

    def test_automatic(self):
        """A balancer over all nodes, measured against the check URL; the first is the fallback."""
        automatic = json.loads(render_xray(FLEET))[0]

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
        single = json.loads(render_xray(FLEET))[2]

        (outbound,) = single["outbounds"]
        assert (outbound["tag"], outbound["settings"]["address"]) == ("proxy", "192.0.2.11")
        assert single["routing"]["rules"] == [{"network": "tcp,udp", "outboundTag": "proxy"}]
        assert "observatory" not in single

    def test_inbounds(self):
        """All listen on loopback only, where v2rayN and v2rayNG expect their core."""
        for config in json.loads(render_xray(FLEET)):
            assert [(i["listen"], i["protocol"], i["port"]) for i in config["inbounds"]] == [
                ("127.0.0.1", "socks", 10808),
                ("127.0.0.1", "http", 10809),
            ]

    @pytest.mark.parametrize("count", [1, 9, 10, 12, 100])
    def test_tags_sort_in_failover_order(self, count):
        """Xray sorts what a balancer selects by name: that order must be ours."""
        outbounds = json.loads(render_xray(nodes(count)))[0]["outbounds"]

        tags = [outbound["tag"] for outbound in outbounds]
        assert count == len(set(tags))
        assert sorted(tags) == tags
        assert [n.endpoint.address for n in nodes(count)] == [
            outbound["settings"]["address"] for outbound in outbounds
        ]

    def test_clients_recognise_it(self):
        """V2rayNG takes a body for Xray's only if these words are in it."""
        document = render_xray(FLEET).decode()

        assert [word in document for word in ("inbounds", "outbounds", "routing")] == [True] * 3

    def test_is_deterministic(self):
        """Equal fleets give equal bytes, and another order gives others."""
        assert render_xray(FLEET) == render_xray(list(FLEET))
        assert render_xray(FLEET) != render_xray(FLEET[::-1])

    @given(node_lists)
    def test_any_nodes(self, fleet):
        """Whatever a node is called and carries, the document is strict JSON in one line."""
        document = render_xray(fleet)

        configs = json.loads(document, parse_constant=refuse_constant)
        assert [n.name for n in fleet] == [config["remarks"] for config in configs[1:]]
        assert document.count(b"\n") == 1
        assert len(xray.samples(document)) == 2


class TestSamples:
    def test_prove_all(self):
        """The automatic one and the first single one stand for the whole document."""
        document = render_xray(FLEET)

        configs = json.loads(document)
        assert configs[:2] == [json.loads(sample) for sample in xray.samples(document)]

    def test_outbound_that_is_not_in_the_automatic_one(self):
        """A configuration that no sample would prove is found, by its name."""
        configs = json.loads(render_xray(FLEET))
        configs[3]["outbounds"][0]["settings"]["port"] = 444

        with pytest.raises(ValueError, match=r"xray.json: 'fi-1' has an outbound of its own"):
            xray.samples(json.dumps(configs).encode())

    @pytest.mark.parametrize("document", [b"", b"no", b"{}", b"[]", b"[1]", b"[{}]", b"\xff"])
    def test_no_such_array(self, document):
        """Anything but an array of configurations is a ValueError."""
        with pytest.raises(ValueError, match=r"."):
            xray.samples(document)
