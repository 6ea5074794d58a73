"""xray.json: an array of complete Xray client configurations. Pure.

The first one holds every node and fails over on the device: a balancer takes the node with the
lowest measured latency, and the first of the list when its observatory knows none. Clients refresh
hourly at best, so the file alone cannot be quick. After it follows one configuration per node, for
users who choose by hand. v2rayN (6.40 and later), v2rayNG (1.8.29), Streisand and Happ read it.
"""

import json
from collections.abc import Sequence
from typing import Any

from healthd.engines import xray
from healthd.model import Node

FILE = "xray.json"

PROBE_INTERVAL = "1m"
"""How often a device measures its nodes; with it, failing over takes about a minute."""

_SOCKS, _HTTP = 10808, 10809
"""Where v2rayN and v2rayNG expect their core to listen."""


def render(nodes: Sequence[Node], *, title: str, check_url: str) -> bytes:
    """The document for these nodes, in failover order.

    Args:
        nodes: At least one node.
        title: Name of the automatic configuration; empty for "Auto".
        check_url: What a device's observatory asks.
    """
    configs = [_automatic(nodes, title or "Auto", check_url), *(_single(node) for node in nodes)]
    return json.dumps(configs, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def samples(document: bytes) -> list[bytes]:
    """The configurations an engine must accept before the document goes live.

    The automatic one holds every outbound, and the single ones differ in their outbound only, so
    that these two prove them all.

    Raises:
        ValueError: the document is not such an array.
    """
    configs = json.loads(document)
    try:
        known = {_untagged(outbound) for outbound in configs[0]["outbounds"]}
        strange = [c["remarks"] for c in configs[1:] if _untagged(c["outbounds"][0]) not in known]
    except (LookupError, TypeError) as why:
        raise ValueError(f"{FILE} is not an array of client configurations") from why
    if strange:
        raise ValueError(f"{FILE}: {strange[0]!r} has an outbound of its own")
    return [json.dumps(config).encode() for config in configs[:2]]


def _untagged(outbound: dict[str, Any]) -> str:
    return json.dumps({**outbound, "tag": ""})


def _automatic(nodes: Sequence[Node], title: str, check_url: str) -> dict[str, Any]:
    # Balancers select by prefix and sort by name: the number keeps the failover order.
    width = len(str(len(nodes)))
    tags = [f"node-{number:0{width}d}" for number in range(1, len(nodes) + 1)]
    outbounds = [xray.outbound(n.endpoint, tag) for n, tag in zip(nodes, tags, strict=True)]
    balancer = {
        "tag": "failover",
        "selector": ["node-"],
        "strategy": {"type": "leastPing"},
        "fallbackTag": tags[0],
    }
    config = _config(title, outbounds, [{"network": "tcp,udp", "balancerTag": "failover"}])
    config["routing"]["balancers"] = [balancer]
    config["observatory"] = {
        "subjectSelector": ["node-"],
        "probeUrl": check_url,
        "probeInterval": PROBE_INTERVAL,
        "enableConcurrency": True,
    }
    return config


def _single(node: Node) -> dict[str, Any]:
    outbounds = [xray.outbound(node.endpoint, "proxy")]
    return _config(node.name, outbounds, [{"network": "tcp,udp", "outboundTag": "proxy"}])


def _config(
    remarks: str, outbounds: list[dict[str, Any]], rules: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "remarks": remarks,
        "log": {"loglevel": "warning"},
        "inbounds": [_inbound("socks", _SOCKS, {"udp": True}), _inbound("http", _HTTP, {})],
        "outbounds": outbounds,
        "routing": {"domainStrategy": "AsIs", "rules": rules},
    }


def _inbound(protocol: str, port: int, settings: dict[str, Any]) -> dict[str, Any]:
    return {
        "tag": protocol,
        "listen": "127.0.0.1",
        "port": port,
        "protocol": protocol,
        "settings": settings,
    }
