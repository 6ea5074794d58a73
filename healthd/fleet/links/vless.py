"""``vless://UUID@HOST:PORT?PARAMETERS#NAME``. Pure."""

from healthd.endpoints import Vless
from healthd.fleet.links import encoding, form, parameters, streams

SCHEME = "vless"


def read(rest: str) -> tuple[Vless, str]:
    """The endpoint and the name in what follows ``vless://``.

    Raises:
        LinkError, EndpointFault: it is malformed.
    """
    link = form.split(SCHEME, rest)
    host, port = form.split_location(SCHEME, link.location)
    given = parameters.read(link.query)
    stream = streams.read(given)
    flow, encryption = given.pop("flow", ""), given.pop("encryption", "")
    endpoint = Vless(
        address=host,
        port=form.port_number(port),
        user=encoding.decode("user", link.user),
        flow="" if flow == "none" else flow,
        encryption=encryption or "none",
        **stream._asdict(),
        extra=tuple(given.items()),
    )
    return endpoint, link.name


def write(endpoint: Vless, name: str) -> str:
    """The link. It never lacks parameters: v2rayNG would refuse it."""
    transport, security = streams.write(endpoint)
    own = [("encryption", endpoint.encryption), ("flow", endpoint.flow)]
    given = [pair for pair in (*transport, *own, *security) if pair[1]]
    place = (endpoint.address, endpoint.port)
    return form.join(SCHEME, encoding.encode(endpoint.user), place, [*given, *endpoint.extra], name)
