"""links.txt: share links in failover order, joined by newlines, in base64. Pure."""

import base64
from collections.abc import Sequence

from healthd.fleet import links
from healthd.model import Node

FILE = "links.txt"


def render(nodes: Sequence[Node]) -> bytes:
    """The document: what v2rayN and every other client takes as a subscription."""
    text = "\n".join(links.write(node.endpoint, node.name) for node in nodes)
    return base64.b64encode(text.encode()) + b"\n"


def verify(document: bytes, nodes: Sequence[Node]) -> None:
    """Read the document as a client would; it must hold exactly these nodes.

    Raises:
        ValueError: it does not.
        LinkError: a link in it cannot be read.
    """
    text = base64.b64decode(document.strip(), validate=True).decode()
    found = [links.parse(line) for line in text.split("\n")]
    if found != [(node.endpoint, node.name) for node in nodes]:
        raise ValueError(f"{FILE} does not read back as the nodes it was written from")
