"""sing-box.json: a whole configuration, for clients that add nothing of their own."""

import json

import pytest

from healthd.publishing import singbox
from healthd.publishing.formats import About
from tests.builders import node, tls, vless
from tests.publishing.fleets import ABOUT, VARIED

FLEET = [node("de-1", name="Germany 🇩🇪"), node("x", name="proxy", endpoint=vless(security=tls()))]
FIT = [each for each in VARIED if singbox.why_not(each.endpoint) is None]


def config(fleet=FLEET):
    return json.loads(singbox.render(fleet, ABOUT))


def test_groups():
    """People choose in the selector; its default takes the fastest of all, and says so at once."""
    select, auto, *_, direct = config()["outbounds"]

    assert select == {
        "type": "selector",
        "tag": "proxy",
        "outbounds": ["auto", "Germany 🇩🇪", "proxy 2"],
        "default": "auto",
        "interrupt_exist_connections": True,
    }
    assert auto == {
        "type": "urltest",
        "tag": "auto",
        "outbounds": ["Germany 🇩🇪", "proxy 2"],
        "url": ABOUT.check_url,
        "interval": "1m",
        "tolerance": 50,
        "interrupt_exist_connections": True,
    }
    assert direct == {"type": "direct", "tag": "direct"}


def test_route():
    """All goes to the selector; the tun's DNS is answered, names of nodes are asked outside."""
    found = config()

    assert found["route"]["final"] == "proxy"
    assert {"protocol": "dns", "action": "hijack-dns"} in found["route"]["rules"]
    assert found["route"]["default_domain_resolver"] == "local"
    assert [(server["tag"], server.get("detour")) for server in found["dns"]["servers"]] == [
        ("local", None),
        ("remote", "proxy"),
    ]


def test_inbounds():
    """A tun for those that run what they are given, and a proxy on loopback for the others."""
    tun, mixed = config()["inbounds"]

    assert (tun["type"], tun["auto_route"]) == ("tun", True)
    assert (mixed["type"], mixed["listen"], mixed["listen_port"]) == ("mixed", "127.0.0.1", 2080)


def test_most_of_a_varied_fleet_is_in_it():
    """What sing-box has is in the document, in order; XHTTP and a pinned certificate are not."""
    document = singbox.render(FIT, ABOUT)

    singbox.verify(document, FIT)
    tags = [each["tag"] for each in json.loads(document)["outbounds"][2:-1]]
    assert tags == [each.name for each in FIT]
    assert {each.name for each in VARIED} - set(tags) == {"reality-xhttp", "upgrade"}


def test_is_deterministic():
    """Equal fleets give equal bytes, and another order gives others."""
    assert singbox.render(FLEET, ABOUT) == singbox.render(list(FLEET), ABOUT)
    assert singbox.render(FLEET, ABOUT) != singbox.render(FLEET[::-1], ABOUT)


def test_without_utls():
    """A build without uTLS judges all but the blocks it must refuse; the rest stays."""
    found = json.loads(singbox.without_utls(singbox.render(FIT, ABOUT)))

    (vision,) = (each for each in found["outbounds"] if each["tag"] == "vision")
    assert vision["tls"] == {"enabled": True, "server_name": "www.example.com"}
    assert [each["tag"] for each in found["outbounds"][2:-1]] == [each.name for each in FIT]


@pytest.mark.parametrize(
    "other",
    [FLEET[:1], FLEET[::-1], [node("de-1"), FLEET[1]], [FLEET[0], node("x", name="proxy")]],
    ids=["one missing", "other order", "other name", "other endpoint"],
)
def test_verify_refuses_other_nodes(other):
    """A document of other nodes must not go live."""
    with pytest.raises(ValueError, match="does not read back"):
        singbox.verify(singbox.render(other, ABOUT), FLEET)


@pytest.mark.parametrize("document", [b"", b"[]", b"{}", b'{"outbounds": [1, 2]}', b"\xff", b"1"])
def test_verify_refuses_other_documents(document):
    """Anything but such a configuration is a ValueError."""
    with pytest.raises(ValueError, match=r"sing-box\.json is not a configuration"):
        singbox.verify(document, FLEET)


def test_check_url():
    """Devices ask what healthd asks."""
    about = About(check_url="http://check.test/")

    assert json.loads(singbox.render(FLEET, about))["outbounds"][1]["url"] == "http://check.test/"
