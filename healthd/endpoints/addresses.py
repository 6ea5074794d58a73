"""Host names, IP addresses and ports, in their canonical form."""

import ipaddress
import re
from functools import lru_cache

from healthd.endpoints.checks import EndpointFault

NO_HOST = "is neither a host name nor an IP address (IPv6 needs brackets)"
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
_HOP = re.compile(r"\d{1,5}(-\d{1,5})?(,\d{1,5}(-\d{1,5})?)*", re.ASCII)


@lru_cache(maxsize=65536)
def host(text: str) -> str:
    """The canonical form of a host name or IP address, without brackets.

    Raises:
        EndpointFault: it is neither.
    """
    if not text or len(text) > 253 or "%" in text:  # a zone names an interface of one machine
        raise EndpointFault("host", NO_HOST if text else "there is none")
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        pass
    if not _HOST_NAME.fullmatch(text):
        raise EndpointFault("host", NO_HOST)
    return text


def first_port(hop: str) -> int:
    """The first port of a list such as "5000-6000,7000".

    Raises:
        EndpointFault: it is no such list, or a port is out of range.
    """
    if not _HOP.fullmatch(hop):
        raise EndpointFault("port", 'must be ports, such as "443" or "443,5000-6000"')
    for part in hop.split(","):
        low, _, high = part.partition("-")
        if not 1 <= int(low) <= int(high or low) <= 65535:
            raise EndpointFault("port", "must be ports from 1 to 65535, the lower one first")
    return int(hop.split(",", 1)[0].split("-", 1)[0])
