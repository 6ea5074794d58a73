"""Keys and certificates for servers on loopback, made by Xray itself."""

import base64
import hashlib
import json
import os
import secrets
import ssl
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Ask = Callable[..., Awaitable[str]]
"""Runs an Xray command; returns what it prints."""

TARGET_NAME = "target.test"
"""The site whose handshake REALITY borrows."""
NODE_NAME = "node.test"
"""Whom the certificate of the servers with TLS is for."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A pair of keys as one protocol writes them."""

    private: str = field(repr=False)
    public: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A self-signed certificate: clients that trust it as an authority accept it."""

    path: Path
    key_path: Path
    sha256: str
    """Of its DER form, in hex: what a client can pin."""


@dataclass(frozen=True, slots=True)
class Materials:
    """What all servers of a fleet share."""

    reality: KeyPair
    encryption: KeyPair
    """VLESS encryption: the server's `decryption`, and the clients' `encryption`."""
    certificate: Certificate
    target_port: int


def _key_2022() -> str:
    return base64.b64encode(os.urandom(16)).decode()


@dataclass(frozen=True, slots=True)
class Access:
    """What one server and its clients agree on; each protocol takes what it needs."""

    port: int
    materials: Materials = field(repr=False)
    user: str = field(default_factory=lambda: str(uuid.uuid4()), repr=False)
    password: str = field(default_factory=secrets.token_urlsafe, repr=False)
    server_key: str = field(default_factory=_key_2022, repr=False)
    user_key: str = field(default_factory=_key_2022, repr=False)
    short_id: str = field(default="0123456789abcdef", repr=False)


async def make_reality_keys(ask: Ask) -> KeyPair:
    """Make a REALITY key pair."""
    lines = (await ask("x25519")).splitlines()
    words = dict(line.split(": ", 1) for line in lines if ": " in line)
    return KeyPair(words["PrivateKey"], words["Password (PublicKey)"])


async def make_encryption(ask: Ask) -> KeyPair:
    """Make a pair for VLESS encryption; of the two kinds offered the first, with X25519."""
    lines = (await ask("vlessenc")).splitlines()
    pairs = [json.loads(f"{{{line}}}") for line in lines if line.startswith('"')]
    return KeyPair(pairs[0]["decryption"], pairs[1]["encryption"])


async def make_certificate(ask: Ask, name: str, directory: Path) -> Certificate:
    """Make a certificate for this name, as two files in this directory."""
    made = await make_inline_certificate(ask, name)
    public, private = directory / f"{name}.pem", directory / f"{name}.key"
    public.write_text("\n".join(made["certificate"]) + "\n")
    private.touch(0o600)
    # Xray labels its PKCS#8 key as an RSA one, which OpenSSL refuses.
    key = "\n".join(made["key"]).replace("RSA PRIVATE KEY", "PRIVATE KEY")
    private.write_text(key + "\n")
    der = ssl.PEM_cert_to_DER_cert(public.read_text())
    return Certificate(public, private, hashlib.sha256(der).hexdigest())


async def make_inline_certificate(ask: Ask, name: str) -> Any:  # noqa: ANN401 - JSON
    """A certificate and its key, as an Xray inbound takes them."""
    return json.loads(await ask("tls", "cert", f"--domain={name}", "--json"))
