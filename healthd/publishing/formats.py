"""Every format that users can download, and one call that renders them all. Pure.

Not every format can express every node: sing-box knows no XHTTP, Xray no TUIC. Such a node is left
out of that document, with the reason beside it; a document for which too few nodes remain is not
rendered at all, because a client that took it would lose what it has.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from healthd.config import FormatName
from healthd.endpoints import Endpoint
from healthd.engines.dialect import EngineName
from healthd.model import Node
from healthd.publishing import clash, links, singbox, xray
from healthd.publishing.about import About

__all__ = ["FORMATS", "About", "Format", "Refused", "Rendering", "render_all"]


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of document."""

    file: str
    """What it is called in the directory."""
    why_not: Callable[[Endpoint], str | None]
    """Why it cannot express an endpoint, in short words; None if it can."""
    render: Callable[[Sequence[Node], About], bytes]
    """The document for at least one node, all of which it can express. Deterministic."""
    verify: Callable[[bytes, Sequence[Node]], None]
    """Reads a document as a client would; raises ValueError unless it holds just these nodes."""
    engine: EngineName | None = None
    """Who must take it before it goes live."""
    samples: Callable[[bytes], list[bytes]] = lambda document: [document]
    """The configurations to ask that engine about."""


FORMATS: Mapping[FormatName, Format] = MappingProxyType(
    {
        "links": Format(links.FILE, links.why_not, links.render, links.verify),
        "clash": Format(clash.FILE, clash.why_not, clash.render, clash.verify),
        "sing-box": Format(
            singbox.FILE,
            singbox.why_not,
            singbox.render,
            singbox.verify,
            engine=EngineName.SING_BOX,
        ),
        "xray": Format(
            xray.FILE,
            xray.why_not,
            xray.render,
            xray.verify,
            engine=EngineName.XRAY,
            samples=xray.samples,
        ),
    }
)
"""All formats, by the name that the configuration has for them."""


Refused = dict[tuple[str, str], str]
"""(File, a node's fingerprint) -> why its engine refuses it there, in words."""


@dataclass(frozen=True, slots=True)
class Rendering:
    """The documents for some nodes, and what is not in them."""

    documents: dict[str, bytes] = field(default_factory=dict)
    """By file."""
    left_out: dict[str, dict[str, str]] = field(default_factory=dict)
    """File -> node id -> why. Files that hold every node are not named."""
    too_few: dict[str, str] = field(default_factory=dict)
    """File -> why it was not rendered, in words."""


_NOBODY: Mapping[tuple[str, str], str] = MappingProxyType({})


def render_all(
    nodes: Sequence[Node],
    names: Sequence[FormatName],
    about: About,
    *,
    floor: int,
    refused: Mapping[tuple[str, str], str] = _NOBODY,
) -> Rendering:
    """Render the formats of these names.

    Args:
        nodes: In failover order.
        names: The formats.
        about: What the documents say beside their nodes.
        floor: A format that must leave nodes out is rendered only if it holds as many as this.
        refused: Nodes that an engine has refused in a document; they are left out of it.
    """
    made = Rendering()
    for name in names:
        form = FORMATS[name]
        fit, why = _sorted_out(form, nodes, refused)
        if why:
            made.left_out[form.file] = why
        if not fit or (why and len(fit) < floor):
            made.too_few[form.file] = _too_few(len(fit), len(nodes), floor, why)
        else:
            made.documents[form.file] = form.render(fit, about)
    return made


def _sorted_out(
    form: Format, nodes: Sequence[Node], refused: Mapping[tuple[str, str], str]
) -> tuple[Sequence[Node], dict[str, str]]:
    """The nodes that a format can express, and why not the others."""
    why = {}
    for node in nodes:
        words = form.why_not(node.endpoint) or refused.get((form.file, node.fingerprint))
        if words is not None:
            why[node.id] = words
    return [node for node in nodes if node.id not in why] if why else nodes, why


def _too_few(fit: int, all_of: int, floor: int, why: Mapping[str, str]) -> str:
    if not all_of:
        return "there is no node"
    reasons = "; ".join(dict.fromkeys(why.values()))
    return f"it can express only {fit} of {all_of} nodes, fewer than {max(floor, 1)}: {reasons}"
