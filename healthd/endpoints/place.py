"""What every protocol has: an address, a port, and text that can be written down."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from healthd.endpoints.addresses import host
from healthd.endpoints.checks import EndpointFault, encodable

MAX_BYTES = 8192
"""Of all the text in an endpoint, a byte between two pieces. The longest honest pieces are an
ML-DSA-65 key of 2.6 kB and an ML-KEM key of 1.6 kB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What every protocol has."""

    protocol: ClassVar[str]

    address: str
    """A host name, or an IP address without brackets, as :func:`host` gives it."""
    port: int
    extra: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Parameters of the link that mean nothing to us; kept, and written back."""

    def __post_init__(self) -> None:
        if host(self.address) != self.address:
            raise EndpointFault("host", "is not in its canonical form")
        if not 1 <= self.port <= 65535:
            raise EndpointFault("port", "must be a number from 1 to 65535")
        text = "\n".join(texts_in(self))
        if "\0" in text:
            raise EndpointFault("link", "holds a NUL character")
        if not text.isascii() and not encodable(text):
            raise EndpointFault("link", "is not UTF-8 text")
        if len(text.encode()) > MAX_BYTES:
            raise EndpointFault("link", f"says more than {MAX_BYTES} bytes about one node")
        self._check()

    def _check(self) -> None:
        """Raise what is wrong with this protocol's own parts."""


def texts_in(value: Any) -> list[str]:  # noqa: ANN401 - any part of an endpoint
    """Every text in an endpoint."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, tuple):
        return [text for part in value for text in texts_in(part)]
    if value is None or isinstance(value, int):
        return []
    return [text for name in value.__dataclass_fields__ for text in texts_in(getattr(value, name))]
