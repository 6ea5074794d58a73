"""A tunnel: what a probe holds while it asks through a node."""

from dataclasses import dataclass, field

from healthd.engines.client import Client
from healthd.engines.dialect import CONTROL
from healthd.model import Reason


@dataclass(frozen=True, slots=True)
class Tunnel:
    """A leased way through one node: a SOCKS5 port and the account that is routed to it."""

    port: int
    user: str
    password: str = field(repr=False)
    client: Client = field(repr=False)

    @property
    def control(self) -> "Tunnel":
        """The way past the node: straight out of the same process."""
        return Tunnel(self.port, CONTROL, self.password, self.client)

    @property
    def one_write(self) -> bool:
        """Whether the request may follow the SOCKS handshake in the same write."""
        return self.client.dialect.one_write

    @property
    def alive(self) -> bool:
        """Whether the engine process still runs."""
        return self.client.ended is None

    async def failure(self) -> tuple[Reason, str] | None:
        """Why the engine says this tunnel failed, redacted; None when it does not say."""
        return await self.client.failure(self.user)
