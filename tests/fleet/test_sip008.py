"""Servers of SIP008."""

from typing import Any

import pytest

from healthd.endpoints import EndpointFault, Shadowsocks
from healthd.errors import LinkError, Unsupported
from healthd.fleet import sip008
from tests.fleet.subscription_corpus import KEYS_2022, SIP008

SERVER: Any = SIP008["servers"][0]


def test_read():
    """A server with an old method, and one with keys of SIP022."""
    assert sip008.read(SERVER) == (
        Shadowsocks(address="192.0.2.3", port=8388, method="chacha20-ietf-poly1305", password="pw"),
        "FI-1",
    )
    new = {"method": "2022-blake3-aes-128-gcm", "password": KEYS_2022, "server_port": "1"}
    assert sip008.read(SERVER | new)[0].password == KEYS_2022


@pytest.mark.parametrize(
    ("change", "kind", "why"),
    [
        (
            {"plugin": "obfs-local"},
            Unsupported,
            "plugin: no plugin of Shadowsocks is supported",
        ),
        ({"quux": 1}, Unsupported, "quux: is not known here, and might matter"),
        ({"server_port": "x"}, LinkError, "server_port: must be a whole number"),
        ({"password": ""}, EndpointFault, "password: is empty"),
    ],
)
def test_refused(change, kind, why):
    """What cannot be used is refused with its place, quoting nothing."""
    with pytest.raises(kind) as caught:
        sip008.read(SERVER | change)
    assert str(caught.value) == why
