"""A node as one user reaches it: his credentials in the place of those that probes use. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from healthd.endpoints import (
    SHADOWSOCKS_2022,
    Endpoint,
    Hysteria2,
    Shadowsocks,
    Trojan,
    Tuic,
    Vless,
    Vmess,
    is_key,
)
from healthd.model import Node
from healthd.publishing.users.parsing import User

NO_UUID = "needs a uuid, which the user has not"
NO_PASSWORD = "needs a password, which the user has not"  # noqa: S105 - words, not a secret
NO_UUID_OR_PASSWORD = "needs a uuid and a password, and the user has not both"  # noqa: S105
NO_SHARED_KEY = "has one key for everybody; per user its server must have a key for each"
NO_KEY = "needs a password that is a base64 key of {} bytes, which the user's is not"


def endpoint_for(endpoint: Endpoint, user: User) -> Endpoint | str:
    """The endpoint with the user's credentials, or why he cannot have one, in words.

    The server must know them: that is the panel's business. A parameter of the link that repeats a
    credential of the probes is not handed on.
    """
    given = _given(endpoint, user)
    return given if isinstance(given, str) else replace(endpoint, extra=_extra(endpoint), **given)


def allowed(nodes: Iterable[Node], tags: frozenset[str] | None) -> list[Node]:
    """The nodes that bear one of these tags, as :func:`tags_of` gives them; None: all."""
    return [node for node in nodes if tags is None or not tags.isdisjoint(node.tags)]


def nodes_for(nodes: Iterable[Node], user: User) -> tuple[tuple[Node, ...], dict[str, str]]:
    """The nodes with the user's credentials, in the same order, and those he cannot use: id, why.

    The fingerprint stays the fleet's.
    """
    usable, left_out = [], {}
    for node in nodes:
        if isinstance(endpoint := endpoint_for(node.endpoint, user), str):
            left_out[node.id] = endpoint
        else:
            usable.append(replace(node, endpoint=endpoint))
    return tuple(usable), left_out


def credentials(endpoint: Endpoint) -> tuple[str, ...]:
    """What tells one user of the endpoint's server from another; none of it empty."""
    match endpoint:
        case Vless() | Vmess():
            found = [endpoint.user]
        case Tuic():
            found = [endpoint.user, endpoint.password]
        case Hysteria2():
            found = [endpoint.auth]
        case Trojan():
            found = [endpoint.password]
        case _:  # Shadowsocks
            own = endpoint.password
            found = [own.rpartition(":")[2] if endpoint.method in SHADOWSOCKS_2022 else own]
    return tuple(filter(None, found))


def _given(endpoint: Endpoint, user: User) -> Mapping[str, Any] | str:
    """The parts of an endpoint that the user's credentials take the place of."""
    uuid, password = user.uuid, user.password
    match endpoint:
        case Vless() | Vmess():
            return {"user": uuid} if uuid else NO_UUID
        case Tuic():
            both = uuid and password
            return {"user": uuid, "password": password} if both else NO_UUID_OR_PASSWORD
        case Shadowsocks() if endpoint.method in SHADOWSOCKS_2022:
            return _key(endpoint, password)
        case Hysteria2():
            return {"auth": password} if password else NO_PASSWORD
        case _:  # Trojan, and Shadowsocks with an AEAD method
            return {"password": password} if password else NO_PASSWORD


def _key(endpoint: Shadowsocks, password: str | None) -> Mapping[str, Any] | str:
    """SIP022: the server's keys stay in front, the last one is the user's."""
    server, _, _ = endpoint.password.rpartition(":")
    length = SHADOWSOCKS_2022[endpoint.method]
    if not server:
        return NO_SHARED_KEY
    if not password:
        return NO_PASSWORD
    if not is_key(password, length):
        return NO_KEY.format(length)
    return {"password": f"{server}:{password}"}


def _extra(endpoint: Endpoint) -> tuple[tuple[str, str], ...]:
    if not endpoint.extra:
        return ()
    known = credentials(endpoint)
    return tuple(
        (key, value) for key, value in endpoint.extra if not any(each in value for each in known)
    )
