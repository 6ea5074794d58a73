"""links.txt: share links in failover order, joined by newlines, in base64. Pure.

The first lines are comments (`#profile-title: …`): Hiddify and Happ read them like headers, every
other client passes them over.
"""

import base64
from collections.abc import Sequence

from healthd.endpoints import Endpoint
from healthd.errors import LinkError
from healthd.fleet import links
from healthd.model import Node
from healthd.publishing.about import About, headers

FILE = "links.txt"


def why_not(_: Endpoint) -> str | None:
    """Nothing: every endpoint has a link."""
    return None


def render(nodes: Sequence[Node], about: About) -> bytes:
    """The document: what v2rayN and every other client takes as a subscription."""
    lines = [*headers(about), *(links.write(node.endpoint, node.name) for node in nodes)]
    return base64.b64encode("\n".join(lines).encode()) + b"\n"


def verify(document: bytes, nodes: Sequence[Node]) -> None:
    """Read the document as a client would; it must hold exactly these nodes.

    Raises:
        ValueError: it does not.
    """
    text = base64.b64decode(document.strip(), validate=True).decode()
    try:
        found = [links.parse(line) for line in text.split("\n") if not line.startswith("#")]
    except LinkError as why:
        raise ValueError(f"{FILE} holds a link that cannot be read: {why}") from why
    if found != [(node.endpoint, node.name) for node in nodes]:
        raise ValueError(f"{FILE} does not read back as the nodes it was written from")
