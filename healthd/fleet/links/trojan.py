"""``trojan://PASSWORD@HOST:PORT?PARAMETERS#NAME``; TLS unless it says otherwise. Pure."""

from healthd.endpoints import Trojan
from healthd.fleet.links import encoding, form, parameters, streams

SCHEME = "trojan"


def read(rest: str) -> tuple[Trojan, str]:
    """The endpoint and the name in what follows ``trojan://``.

    Raises:
        LinkError, EndpointFault: it is malformed.
    """
    link = form.split(SCHEME, rest)
    host, port = form.split_location(SCHEME, link.location)
    given = parameters.read(link.query)
    stream = streams.read(given, default_security="tls")
    endpoint = Trojan(
        address=host,
        port=form.port_number(port),
        password=encoding.decode("password", link.user),
        **stream._asdict(),
        extra=tuple(given.items()),
    )
    return endpoint, link.name


def write(endpoint: Trojan, name: str) -> str:
    """The link."""
    transport, security = streams.write(endpoint)
    given = [pair for pair in (*transport, *security) if pair[1]]
    place = (endpoint.address, endpoint.port)
    password = encoding.encode(endpoint.password)
    return form.join(SCHEME, password, place, [*given, *endpoint.extra], name)
