"""``vless://`` share links: parse and write, losslessly.

    vless://<user>@<host>:<port>?<parameters>#<name>

Tolerant where clients are (percent-encoding in any part, IPv6 in brackets, empty parameters),
strict where a guess would publish something broken (a repeated parameter with two values, an
unknown transport, ``allowInsecure``). Parameters that mean nothing here are kept in ``extra`` and
written back, so that a link survives a round trip through healthd with all that it carried.

By hand, because every parser on PyPI drops parameters or breaks on encoded values. No error quotes
the link: it is a credential. Pure: text in, values out.

The parameter names are those of XTLS's VMessAEAD / VLESS sharing proposal, as v2rayN writes them.
"""

import json
from urllib.parse import quote, unquote

from healthd import endpoints
from healthd.endpoints import FLOWS, NO_HOST, Endpoint, EndpointFault, Reality, Tls, Vless
from healthd.errors import LinkError

SCHEME = "vless"
INSECURE = ("allowInsecure", "allow_insecure", "insecure")
MAX_LENGTH = 32768
"""Characters. The longest honest part is an ML-KEM key of some 1.6 kB; the configuration takes
links of up to 8192, which may become three times as long when all of it is percent-encoded."""


def parse(link: str) -> tuple[Endpoint, str]:
    """Return the endpoint and the name that a ``vless://`` link carries.

    Raises:
        LinkError: naming the part that is wrong and the mend.
    """
    scheme, rest = _split_scheme(link.strip())
    if scheme != SCHEME:
        raise LinkError("scheme", f"{scheme[:32]}:// is not supported, only {SCHEME}://")
    rest, _, name = rest.partition("#")
    rest, _, query = rest.partition("?")
    user, at, location = rest.rpartition("@")
    if not at:
        raise LinkError("user", "there is none; a link reads vless://USER@HOST:PORT?…")
    host, port = _split_location(location.rstrip("/"))
    return _endpoint(_decode("user", user), host, port, _parameters(query)), _decode("name", name)


def write(endpoint: Endpoint, name: str = "") -> str:
    """Return the share link of an endpoint. ``parse(write(e, n)) == (e, n)``.

    Every value is percent-encoded and the query is never empty: v2rayNG splits pairs at ``=``
    and refuses a link without parameters.
    """
    assert isinstance(endpoint, Vless)  # noqa: S101
    parameters = [(key, value) for key, value in _known(endpoint) if value] + list(endpoint.extra)
    query = "&".join(f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in parameters)
    host = f"[{endpoint.address}]" if ":" in endpoint.address else endpoint.address
    user = quote(endpoint.user, safe="")
    return f"{SCHEME}://{user}@{host}:{endpoint.port}?{query}#{quote(name, safe='')}"


def _split_scheme(link: str) -> tuple[str, str]:
    if len(link) > MAX_LENGTH:
        raise LinkError("link", f"longer than {MAX_LENGTH} characters")
    if not _is_text(link):
        raise LinkError("link", "is not UTF-8 text")
    if any(ord(char) < 0x20 or ord(char) == 0x7F for char in link):
        raise LinkError("link", "holds a line break or another control character")
    scheme, separator, rest = link.partition("://")
    if not separator or not scheme.isalnum():
        raise LinkError("scheme", "there is none; a link begins with vless://")
    return scheme.lower(), rest


def _split_location(location: str) -> tuple[str, int]:
    if location.startswith("["):
        host, bracket, port = location[1:].partition("]")
        if not bracket:
            raise LinkError("host", "the IPv6 address has no closing bracket")
        port = port[1:] if port.startswith(":") else ""
    else:
        host, _, port = location.rpartition(":")
        if ":" in host:  # where the address ends and the port begins would be a guess
            raise LinkError("host", NO_HOST)
    if not host:
        raise LinkError("host", "there is none; a link reads vless://USER@HOST:PORT?…")
    # `isdecimal` alone would let other scripts' digits pass.
    if not (port.isascii() and port.isdecimal() and len(port) <= 5 and 1 <= int(port) <= 65535):
        raise LinkError("port", "must be a number from 1 to 65535")
    return _host(host), int(port)


def _host(text: str) -> str:
    try:
        return endpoints.host(text)
    except EndpointFault as why:
        raise LinkError(why.part, why.why) from None


def _parameters(query: str) -> dict[str, str]:
    """The parameters as a dict, in their order.

    Not ``parse_qsl``: it reads ``+`` as a blank, which no writer of share links means.
    """
    found: dict[str, str] = {}
    for pair in filter(None, query.split("&")):
        raw_key, _, raw_value = pair.partition("=")
        key, value = _decode("parameters", raw_key), _decode(raw_key, raw_value)
        if not key:
            raise LinkError("parameters", "one has no name")
        if found.setdefault(key, value) != value:
            raise LinkError(key[:32], "is given twice, with different values")
    return found


def _endpoint(user: str, host: str, port: int, given: dict[str, str]) -> Vless:
    if not user:
        raise LinkError("user", "is empty")
    if len(user.encode()) > 36:
        raise LinkError("user", "is longer than a UUID")
    _transport(given)
    for key in INSECURE:
        if given.get(key, "0") not in {"", "0", "false"}:
            raise LinkError(
                key,
                "cannot be honoured by current Xray; pin the certificate instead (pcs=SHA256)",
            )
    return Vless(
        address=host,
        port=port,
        user=user,
        flow=_one_of("flow", given, FLOWS, also={"none": ""}),
        encryption=given.pop("encryption", "") or "none",
        security=_security(given),
        finalmask=_json_object("fm", given),
        extra=tuple(given.items()),
    )


def _transport(given: dict[str, str]) -> None:
    """Only plain TCP for now; anything else is refused rather than probed wrongly."""
    _one_of("type", given, ("tcp",), also={"raw": "tcp", "": "tcp"})
    _one_of("headerType", given, ("none",), also={"": "none"})


def _security(given: dict[str, str]) -> Tls | Reality | None:
    kind = _one_of("security", given, ("none", "tls", "reality"), also={"": "none"})
    if kind == "tls":
        return Tls(
            server_name=given.pop("sni", ""),
            fingerprint=given.pop("fp", ""),
            alpn=tuple(filter(None, given.pop("alpn", "").split(","))),
            ech=given.pop("ech", ""),
            verify_names=given.pop("vcn", ""),
            pinned_sha256=given.pop("pcs", ""),
        )
    if kind == "reality":
        if not given.get("pbk"):
            raise LinkError("pbk", "is missing; REALITY needs the server's public key")
        return Reality(
            public_key=given.pop("pbk"),
            server_name=given.pop("sni", ""),
            fingerprint=given.pop("fp", ""),
            short_id=given.pop("sid", ""),
            spider_x=given.pop("spx", ""),
            mldsa65_verify=given.pop("pqv", ""),
        )
    return None


def _known(endpoint: Vless) -> list[tuple[str, str]]:
    """The parameters healthd understands, in the order v2rayN writes them."""
    parameters = [
        ("type", "tcp"),
        ("encryption", endpoint.encryption),
        ("flow", endpoint.flow),
    ]
    match endpoint.security:
        case None:
            parameters += [("security", "none")]
        case Tls() as tls:
            parameters += [
                ("security", "tls"),
                ("sni", tls.server_name),
                ("fp", tls.fingerprint),
                ("alpn", ",".join(tls.alpn)),
                ("ech", tls.ech),
                ("vcn", tls.verify_names),
                ("pcs", tls.pinned_sha256),
            ]
        case reality:
            parameters += [
                ("security", "reality"),
                ("sni", reality.server_name),
                ("fp", reality.fingerprint),
                ("pbk", reality.public_key),
                ("sid", reality.short_id),
                ("spx", reality.spider_x),
                ("pqv", reality.mldsa65_verify),
            ]
    return [*parameters, ("fm", endpoint.finalmask)]


def _one_of(key: str, given: dict[str, str], allowed: tuple[str, ...], also: dict[str, str]) -> str:
    value = given.pop(key, "")
    value = also.get(value, value)
    if value not in allowed:
        raise LinkError(
            key, f"{value[:32]!r} is not supported, only {', '.join(filter(None, allowed))}"
        )
    return value


def _json_object(key: str, given: dict[str, str]) -> str:
    value = given.pop(key, "")
    try:
        parsed = json.loads(value, parse_constant=_no_constant) if value else {}
    except (ValueError, RecursionError) as why:
        raise LinkError(key, "is not JSON") from why
    if not isinstance(parsed, dict):
        raise LinkError(key, "must be a JSON object")
    if not _is_text(json.dumps(parsed, ensure_ascii=False)):
        raise LinkError(key, "is not JSON")
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is JavaScript, not JSON")


def _is_text(text: str) -> bool:
    """Whether it can be encoded: half of a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _decode(part: str, text: str) -> str:
    try:
        decoded = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise LinkError(part[:32], "is not UTF-8 behind its percent-encoding") from None
    if "\0" in decoded:
        raise LinkError(part[:32], "holds a NUL character")
    return decoded
