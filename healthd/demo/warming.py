"""The first connection through a REALITY server, made before anybody counts on it.

A server that has just started looks at its target first. What comes in meanwhile with the right
keys is held for five seconds (`tls.go` of xtls/reality), which is longer than the quick deadlines
of a demo, and nobody's fault. So it is left alone until it has looked, and then one connection
proves that nothing is held any more.
"""

import json
import secrets
import ssl
from contextlib import suppress
from functools import partial

import psutil
import trio

from healthd.demo.serving import serve
from healthd.endpoints import Endpoint
from healthd.engines import socks
from healthd.engines.ports import reserve_port
from healthd.engines.xray import client_config

_LIMIT = 20.0
"""Seconds; one hold and some."""
_LOOKS = 6
"""Connections to its target, which it keeps: two for each of three sorts of hello."""
_HANDSHAKES = 0.1
"""Seconds for these to get their answers; if it takes longer, the proof takes five more."""


async def warm_up(xray: str, server: int, endpoint: Endpoint, target: int, *, owner: str) -> None:
    """Return when a connection through the endpoint, to its own target, was carried.

    Args:
        xray: Path of the Xray binary.
        server: The server's process id.
        endpoint: How to reach it.
        target: The port of what it borrows its handshake from.
        owner: The mark in the environment of the client.
    """
    with trio.move_on_after(_LIMIT):
        while True:
            if _looking(server, target) >= _LOOKS:
                break
            await trio.sleep(0.01)
        await trio.sleep(_HANDSHAKES)
    password = secrets.token_urlsafe(8)
    with reserve_port() as held:
        ours = held.getsockname()[1]
        config = json.loads(client_config({"node": endpoint}, port=ours, password=password))
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(serve, "xray", xray, config, owner=owner))
            with trio.fail_after(_LIMIT):
                await _ask(ours, password, target)
            nursery.cancel_scope.cancel()


def _looking(server: int, target: int) -> int:
    """How many connections the server has to its target."""
    found = psutil.Process(server).net_connections("tcp4")
    return sum(bool(each.raddr) and each.raddr.port == target for each in found)


def _client_hello() -> bytes:
    hello = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="x.test")
    with suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return hello.read()


async def _ask(client: int, password: str, port: int) -> None:
    async with await trio.open_tcp_stream("127.0.0.1", client) as stream:
        greeting = socks.authentication("node", password)
        await stream.send_all(greeting + socks.connect("127.0.0.1", port) + _client_hello())
        answer = b""
        while chunk := await stream.receive_some(4096):
            answer += chunk
            length = socks.reply_length(answer)
            if length is not None and len(answer) > length:
                return
