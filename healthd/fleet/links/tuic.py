"""``tuic://UUID:PASSWORD@HOST:PORT?PARAMETERS#NAME``. Pure.

There is no standard; the names are those that v2rayN, NekoBox and Hiddify read.
"""

from healthd.endpoints import Tuic
from healthd.fleet.links import encoding, form, parameters, quic

SCHEME = "tuic"
_CONGESTION = ("congestion_control", "congestion_controller", "congestion-control")
_ZERO_RTT = ("reduce_rtt", "zero_rtt_handshake", "zero_rtt")


def read(rest: str) -> tuple[Tuic, str]:
    """The endpoint and the name in what follows ``tuic://``.

    Raises:
        LinkError, EndpointFault: it is malformed.
    """
    link = form.split(SCHEME, rest)
    host, port = form.split_location(SCHEME, link.location)
    given = parameters.read(link.query)
    user, password = form.pair("user", link.user)
    endpoint = Tuic(
        address=host,
        port=form.port_number(port),
        user=user,
        password=password,
        congestion=parameters.take(given, *_CONGESTION),
        udp_relay=parameters.take(given, "udp_relay_mode", "udp-relay-mode"),
        zero_rtt=parameters.flag(given, *_ZERO_RTT),
        disable_sni=parameters.flag(given, "disable_sni"),
        tls=quic.read(given),
        extra=tuple(given.items()),
    )
    return endpoint, link.name


def write(endpoint: Tuic, name: str) -> str:
    """The link."""
    given = [
        ("congestion_control", endpoint.congestion),
        ("udp_relay_mode", endpoint.udp_relay),
        *quic.write(endpoint.tls, "allow_insecure"),
        ("disable_sni", "1" if endpoint.disable_sni else ""),
        ("reduce_rtt", "1" if endpoint.zero_rtt else ""),
    ]
    given = [pair for pair in given if pair[1]]
    user = f"{encoding.encode(endpoint.user)}:{encoding.encode(endpoint.password)}"
    place = (endpoint.address, endpoint.port)
    return form.join(SCHEME, user, place, [*given, *endpoint.extra], name)
