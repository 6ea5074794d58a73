"""xray.json: an array of complete Xray client configurations. Pure.

The first one holds every node and fails over on the device: a balancer takes the node with the
lowest measured latency, and the first of the list when its observatory knows none. Clients refresh
hourly at best, so the file alone cannot be quick. After it follows one configuration per node, for
users who choose by hand. v2rayN (6.40 and later), v2rayNG (1.8.29), Streisand and Happ read it.

`leastPing` and not `leastLoad`: when the node in use died, the one was on another after 11.5 s at
most, the other after 14 to 19 s (both asking every 10 s).

Xray keeps one connection for all Hysteria2 outbounds to the same address and port, whatever their
passwords: the balancer would measure, and use, the first as if it were the others. So the first
alone is in the automatic configuration; the others are there to be chosen by hand.
"""

import json
from collections.abc import Sequence
from itertools import compress
from typing import Any

from healthd.endpoints import Hysteria2
from healthd.engines.xray_outbound import outbound, why_not
from healthd.model import Node
from healthd.publishing.about import AUTOMATIC, About

__all__ = ["FILE", "render", "samples", "verify", "why_not"]

FILE = "xray.json"

PROBE_INTERVAL = "1m"
"""How often a device measures its nodes; with it, failing over takes about a minute."""

_SOCKS, _HTTP = 10808, 10809
"""Where v2rayN and v2rayNG expect their core to listen."""

_BALANCER, _PREFIX, _SINGLE = "failover", "node-", "proxy"

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def render(nodes: Sequence[Node], about: About) -> bytes:
    """The document for these nodes, in failover order. At least one; all pass :func:`why_not`."""
    # Each is made and written once, up to its tag, for both places where it stands.
    each = [_untagged(outbound(node.endpoint, "")) for node in nodes]
    automatic = list(compress(each, _apart(nodes)))
    tags = _tags(len(automatic))
    tagged = ",".join(_tagged(text, tag) for text, tag in zip(automatic, tags, strict=True))
    name = _encode(about.title or AUTOMATIC)
    configs = [f'{{"remarks":{name},{_COMMON}[{tagged}],{_balancing(tags, about.check_url)}}}']
    for node, text in zip(nodes, each, strict=True):
        name, only = _encode(node.name), _tagged(text, _SINGLE)
        configs.append(f'{{"remarks":{name},{_COMMON}[{only}],{_SINGLE_ROUTING}}}')
    return f"[{','.join(configs)}]\n".encode()


def verify(document: bytes, nodes: Sequence[Node]) -> None:
    """Read the document as a client would; it must hold exactly these nodes, in this order.

    Raises:
        ValueError: it does not.
    """
    configs = _configs(document)
    single = [outbound(node.endpoint, _SINGLE) for node in nodes]
    automatic = list(compress(single, _apart(nodes)))
    tagged = [
        {**out, "tag": tag} for out, tag in zip(automatic, _tags(len(automatic)), strict=True)
    ]
    expected = [(node.name, [out]) for node, out in zip(nodes, single, strict=True)]
    found = [(config["remarks"], config["outbounds"]) for config in configs[1:]]
    if configs[0]["outbounds"] != tagged or found != expected:
        raise ValueError(f"{FILE} does not read back as the nodes it was written from")


def samples(document: bytes) -> list[bytes]:
    """The configurations an engine must accept before a verified document goes live.

    The single ones differ in their outbound only: one of them, and the automatic one, which holds
    nearly every outbound, prove them all, with those whose outbound is not in that.

    Raises:
        ValueError: the document is not such an array.
    """
    automatic, *single = _configs(document)
    held = {_encode({**out, "tag": _SINGLE}) for out in automatic["outbounds"]}
    asked = [
        config
        for number, config in enumerate(single)
        if number == 0 or not held.issuperset(map(_encode, config["outbounds"]))
    ]
    return [_encode(config).encode() for config in (automatic, *asked)]


def _apart(nodes: Sequence[Node]) -> list[bool]:
    """Of each node, whether it may stand beside those before it in one Xray."""
    seen, apart = set[tuple[str, int]](), list[bool]()
    for node in nodes:
        match node.endpoint:
            case Hysteria2(address=address, port=port):
                apart.append((address, port) not in seen)
                seen.add((address, port))
            case _:
                apart.append(True)
    return apart


def _configs(document: bytes) -> list[dict[str, Any]]:
    try:
        configs: list[dict[str, Any]] = json.loads(document)
        known = [(config["remarks"], config["outbounds"]) for config in configs]
    except (ValueError, LookupError, TypeError) as why:
        raise ValueError(f"{FILE} is not an array of client configurations") from why
    if not known:
        raise ValueError(f"{FILE} is empty")
    return configs


def _tags(count: int) -> list[str]:
    # Balancers select by prefix and sort by name: the number keeps the failover order.
    width = len(str(count))
    return [f"{_PREFIX}{number:0{width}d}" for number in range(1, count + 1)]


def _untagged(made: dict[str, Any]) -> str:
    """All of an outbound but its tag, without the closing brace."""
    del made["tag"]
    return _encode(made)[:-1]


def _tagged(text: str, tag: str) -> str:
    return f'{text},"tag":"{tag}"}}'


def _balancing(tags: list[str], check_url: str) -> str:
    """The rest of the automatic configuration."""
    balancer = {
        "tag": _BALANCER,
        "selector": [_PREFIX],
        "strategy": {"type": "leastPing"},
        "fallbackTag": tags[0],
    }
    rule = {"network": "tcp,udp", "balancerTag": _BALANCER}
    observatory = {
        "subjectSelector": [_PREFIX],
        "probeUrl": check_url,
        "probeInterval": PROBE_INTERVAL,
        "enableConcurrency": True,
    }
    routing = {"domainStrategy": "AsIs", "rules": [rule], "balancers": [balancer]}
    return _encode({"routing": routing, "observatory": observatory})[1:-1]


def _inbound(protocol: str, port: int, settings: dict[str, Any]) -> dict[str, Any]:
    return {
        "tag": protocol,
        "listen": "127.0.0.1",
        "port": port,
        "protocol": protocol,
        "settings": settings,
    }


_INBOUNDS = [_inbound("socks", _SOCKS, {"udp": True}), _inbound("http", _HTTP, {})]
_COMMON = _encode({"log": {"loglevel": "warning"}, "inbounds": _INBOUNDS})[1:-1] + ',"outbounds":'
"""What stands before the outbounds of every configuration."""
_SINGLE_ROUTING = _encode(
    {
        "routing": {
            "domainStrategy": "AsIs",
            "rules": [{"network": "tcp,udp", "outboundTag": _SINGLE}],
        }
    }
)[1:-1]
