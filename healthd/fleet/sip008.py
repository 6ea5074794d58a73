"""SIP008: Shadowsocks servers in a JSON list. Pure."""

from collections.abc import Iterable, Iterator
from functools import partial

from healthd.endpoints import Shadowsocks
from healthd.fleet import parts
from healthd.fleet.fields import Fields, Json
from healthd.fleet.reading import Candidate


def candidates(servers: Iterable[Json]) -> Iterator[Candidate]:
    """Every server."""
    for number, server in enumerate(servers):
        yield f"servers[{number}]", partial(read, server)


def read(server: Json) -> tuple[Shadowsocks, str]:
    """The endpoint and the name of one server.

    Raises:
        LinkError, EndpointFault: it is malformed, or (Unsupported) not for us.
    """
    fields = Fields(server)
    fields.refuse({"plugin": parts.PLUGIN})
    # Whose it is, and how much it may still carry.
    fields.ignore("id", "plugin_opts", "plugin_args", "group", "owner", "bytes_used")
    fields.ignore("bytes_remaining")
    name = fields.text("remarks")
    address, port = parts.place(fields, port="server_port")
    endpoint = Shadowsocks(
        address=address,
        port=port,
        method=fields.text("method"),
        password=fields.text("password"),
    )
    fields.end()
    return endpoint, name
