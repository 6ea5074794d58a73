"""An endpoint of any protocol, and what tells it from all others."""

import hashlib
import json
from typing import Any

from healthd.endpoints.quic import Hysteria2, Tuic
from healthd.endpoints.shadowsocks import Shadowsocks
from healthd.endpoints.streamed import Trojan, Vless, Vmess
from healthd.endpoints.transports import Xhttp

Endpoint = Vless | Vmess | Trojan | Shadowsocks | Hysteria2 | Tuic


def fingerprint(endpoint: Endpoint) -> str:
    """A short hash of all that matters to a connection; the node's name does not.

    The ``extra`` parameters are left out: they change nothing about the connection, and a panel
    that adds one must not make every node of the fleet start again from UNKNOWN.
    """
    text = json.dumps([endpoint.protocol, _plain(endpoint)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:  # noqa: ANN401 - any part of an endpoint
    """An endpoint's parts as JSON knows them, each class by its name."""
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    known = {
        name: _plain(getattr(value, name)) for name in value.__dataclass_fields__ if name != "extra"
    }
    if isinstance(value, Xhttp):  # its `extra` is the engine's, not the link's
        known["extra"] = value.extra
    return [type(value).__name__, known]
