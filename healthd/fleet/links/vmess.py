"""``vmess://``: JSON in base64, as v2rayN made it up, or a link of the usual form. Pure.

JSON is what every client reads, but none expects more in it than v2rayN's keys: an endpoint that
needs others (REALITY, ECH, a finalmask, XHTTP's extra) is written as a link of the usual form.
Whatever stands in the JSON is read by the same rules as the parameters of a link.
"""

import base64
import json
from typing import Any

from healthd import endpoints
from healthd.endpoints import Grpc, Tls, Vmess, Xhttp
from healthd.errors import LinkError, Unsupported
from healthd.fleet.links import encoding, form, parameters, streams

SCHEME = "vmess"

_NAMES = {"net": "type", "tls": "security", "scy": "encryption", "security": "encryption"}
"""JSON's keys for what links of the usual form call otherwise. `security` is an old `scy`."""
_OWN = frozenset({"v", "ps", "add", "port", "id", "aid", "type", "encryption", *_NAMES})
"""Keys that mean something else, or nothing, in a link of the usual form."""
_KNOWN = _OWN | {"host", "path", "sni", "alpn", "fp", "vcn", "pcs"}
"""Keys that clients write even if they have nothing to say."""

_SAYS = {
    ("tls", "true"): "tls",
    ("tls", "false"): "",
    ("type", "none"): "",
    ("aid", "0"): "",
}
"""Values that say the same as others, or nothing."""


def read(rest: str) -> tuple[Vmess, str]:
    """The endpoint and the name in what follows ``vmess://``.

    Raises:
        LinkError, EndpointFault: it is malformed.
    """
    rest = encoding.unfold(rest)
    link = form.split(SCHEME, rest, anonymous=True)
    if "@" in rest.partition("#")[0]:
        host, port = form.split_location(SCHEME, link.location)
        given = parameters.read(link.query)
        user = encoding.decode("user", link.user)
        return _endpoint(given, host, port, user), link.name
    if link.query:
        raise LinkError("parameters", "have no place behind base64")
    given = _parameters(_document(link.location))
    given.pop("v", "")
    name = given.pop("ps", "") or link.name
    host, port = given.pop("add", ""), given.pop("port", "")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    user = given.pop("id", "")
    endpoint = _endpoint(given, endpoints.host(host), port, user)
    return endpoint, name


def write(endpoint: Vmess, name: str) -> str:
    """The link; JSON if that can hold the endpoint."""
    transport, security = streams.write(endpoint)
    if _fits_json(endpoint):
        link = f"{SCHEME}://{_json(endpoint, dict([*transport, *security]), name)}"
        if len(link) <= form.MAX_LENGTH:  # JSON's escapes may be longer than a link's
            return link
    pairs = [*transport, ("encryption", endpoint.cipher), *security]
    given = [pair for pair in pairs if pair[1]]
    place = (endpoint.address, endpoint.port)
    return form.join(SCHEME, encoding.encode(endpoint.user), place, [*given, *endpoint.extra], name)


def _endpoint(given: parameters.Parameters, host: str, port: str, user: str) -> Vmess:
    _refuse_alter_id(given)
    stream = streams.read(given)
    cipher = given.pop("encryption", "")
    return Vmess(
        address=host,
        port=form.port_number(port),
        user=user,
        cipher=cipher or "auto",
        **stream._asdict(),
        extra=tuple(given.items()),
    )


def _refuse_alter_id(given: parameters.Parameters) -> None:
    for key in ("aid", "alterId"):
        if given.get(key, "").strip("0"):
            raise Unsupported(key, "must be 0: the older VMess is gone from every engine")


def _document(text: str) -> parameters.Parameters:
    """The JSON object in base64, every value as text.

    Raises:
        LinkError: it is no such thing.
    """
    plain = encoding.decode_base64("link", encoding.decode("link", text))
    try:
        parsed = json.loads(plain, object_pairs_hook=_object)
        if isinstance(parsed, dict):
            return {key: _text(value) for key, value in parsed.items()}
    except (ValueError, RecursionError):
        pass
    raise LinkError("link", "is not base64 of a JSON object")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if not encoding.checked("parameters", key):
            raise LinkError("parameters", "one has no name")
        if found.setdefault(key, value) != value:
            raise LinkError(key[:32], "is given twice, with different values")
    return found


def _text(value: Any) -> str:  # noqa: ANN401 - any JSON value
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _parameters(document: parameters.Parameters) -> parameters.Parameters:
    """What the JSON says, by the names that links of the usual form have for it."""
    names = {**_NAMES, "type": "headerType"}
    kind = document.get("net")
    if kind in {"grpc", "xhttp", "splithttp"}:
        names["type"] = "mode"
    if kind == "grpc":
        names |= {"host": "authority", "path": "serviceName"}
    given: parameters.Parameters = {}
    for key, value in document.items():
        said = _SAYS.get((key, value), value)
        if said or key not in _KNOWN:
            parameters.add(given, names.get(key, key), said)
    return given


def _fits_json(endpoint: Vmess) -> bool:
    security, transport = endpoint.security, endpoint.transport
    taken = _OWN | {"host", "path"} if isinstance(transport, Grpc) else _OWN
    return (
        (security is None or (isinstance(security, Tls) and not security.ech))
        and not endpoint.finalmask
        and not (isinstance(transport, Xhttp) and transport.extra)
        and all(key not in taken and (value or key not in _KNOWN) for key, value in endpoint.extra)
    )


def _json(endpoint: Vmess, said: dict[str, str], name: str) -> str:
    """The JSON in base64, with v2rayN's keys in its order; ``said``: a link's parameters."""
    grpc = isinstance(endpoint.transport, Grpc)
    document = {
        "v": "2",
        "ps": name,
        "add": endpoint.address,
        "port": str(endpoint.port),
        "id": endpoint.user,
        "aid": "0",
        "scy": endpoint.cipher,
        "net": said["type"],
        "type": said.get("mode") or said.get("headerType", "none"),
        "host": said.get("authority" if grpc else "host", ""),
        "path": said.get("serviceName" if grpc else "path", ""),
        "tls": "tls" if endpoint.security else "",
        **{key: said.get(key, "") for key in ("sni", "alpn", "fp")},
        **{key: said[key] for key in ("vcn", "pcs") if said.get(key)},
    }
    # What means nothing here comes last, in its own order, even if its key is one of v2rayN's.
    for key, value in endpoint.extra:
        document.pop(key, None)
        document[key] = value
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return base64.b64encode(text.encode()).decode()
