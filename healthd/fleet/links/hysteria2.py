"""``hysteria2://AUTH@HOST:PORTS?PARAMETERS#NAME``, also ``hy2://``. Pure.

Ports to hop over stand in the place of the port, as Hysteria itself has it, or in ``mport``, as
v2rayN and v2rayNG do; they are written there, because those two read nothing else.
"""

from healthd.endpoints import Hysteria2, first_port
from healthd.errors import LinkError, Unsupported
from healthd.fleet.links import encoding, form, parameters, quic

SCHEME = "hysteria2"
_DEFAULT_PORT = "443"


def read(rest: str) -> tuple[Hysteria2, str]:
    """The endpoint and the name in what follows ``hysteria2://`` or ``hy2://``.

    Raises:
        LinkError, EndpointFault: it is malformed.
    """
    link = form.split(SCHEME, rest, anonymous=True)
    host, port = form.split_location(SCHEME, link.location, _DEFAULT_PORT)
    given = parameters.read(link.query)
    hop = _hop(port, given)
    if given.pop("fm", ""):
        raise Unsupported("fm", "is not supported for Hysteria2; give obfs and mport instead")
    endpoint = Hysteria2(
        address=host,
        port=first_port(hop) if hop else form.port_number(port),
        hop=hop,
        auth=encoding.decode("auth", link.user),
        obfs_password=_obfs_password(given),
        tls=quic.read(given),
        extra=tuple(given.items()),
    )
    return endpoint, link.name


def write(endpoint: Hysteria2, name: str) -> str:
    """The link."""
    obfs = endpoint.obfs_password
    given = [
        *quic.write(endpoint.tls, "insecure"),
        ("obfs", "salamander" if obfs else ""),
        ("obfs-password", obfs),
        ("mport", endpoint.hop),
    ]
    given = [pair for pair in given if pair[1]]
    place = (endpoint.address, endpoint.port)
    auth = encoding.encode(endpoint.auth)
    return form.join(SCHEME, auth, place, [*given, *endpoint.extra], name)


def _hop(port: str, given: parameters.Parameters) -> str:
    """The ports to hop over, from either place; empty if there is but one."""
    hop = given.pop("mport", "").replace(":", "-")
    several = port if "," in port or "-" in port else ""
    if hop and several and hop != several:
        raise LinkError("mport", "names other ports than the place behind the host")
    return hop or several


def _obfs_password(given: parameters.Parameters) -> str:
    """The password of Salamander, the one obfuscation that we know; empty if there is none."""
    kind = given.pop("obfs", "")
    kind = "" if kind == "none" else kind
    if kind not in {"", "salamander"}:  # not quoted: Hysteria's first version has a password there
        raise Unsupported("obfs", "is not supported as obfuscation, only salamander")
    password = given.pop("obfs-password", "")
    if kind and not password:
        raise LinkError("obfs-password", "is missing; salamander needs one")
    if password and not kind:  # v2rayN would use it, Hysteria itself would not
        raise LinkError("obfs", "is missing beside obfs-password; say obfs=salamander")
    return password
