"""All files of one publication, and what is told about them. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from healthd.config import FormatName
from healthd.model import Node
from healthd.publishing.formats import About, Rendering, render_all


@dataclass(frozen=True, slots=True)
class Notes:
    """What is not in the documents, and who has them. ``meta.json`` tells it beside them."""

    left_out: dict[str, dict[str, str]] = field(default_factory=dict)
    """File -> node id -> why its format cannot express the node."""
    not_written: dict[str, str] = field(default_factory=dict)
    """File -> why there is no new one."""
    users: dict[str, dict[str, Any]] = field(default_factory=dict)
    """User -> how many nodes, which are left out and why, and which files there are no new ones of.
    Empty where everybody has the same files."""

    def told(self) -> dict[str, Any]:
        """As meta.json has it."""
        found = {"left_out": self.left_out, "not_written": self.not_written}
        return found | ({"users": self.users} if self.users else {})


@dataclass(frozen=True, slots=True)
class Sample:
    """Documents of some nodes, by which all others are judged that differ in credentials only."""

    nodes: tuple[Node, ...]
    rendering: Rendering


@dataclass(frozen=True, slots=True)
class Files:
    """What is to be served."""

    documents: dict[str, bytes] = field(default_factory=dict, repr=False)
    """By name: "links.txt", or "TOKEN/links.txt" for a user's own."""
    kept: set[str] = field(default_factory=set, repr=False)
    """Names of documents that could not be made: what is served under them stays, if there is."""
    notes: Notes = field(default_factory=Notes)
    samples: tuple[Sample, ...] = field(default=(), repr=False)
    """What must be read back, and taken by the engines, before anything goes live."""

    def without(self, faults: Mapping[str, str]) -> "Files":
        """The same, but that nobody gets a new document of these formats (file -> why)."""
        at_fault = {name for name in self.documents if name.rpartition("/")[2] in faults}
        documents = {name: each for name, each in self.documents.items() if name not in at_fault}
        notes = replace(self.notes, not_written={**self.notes.not_written, **faults})
        return replace(self, documents=documents, kept=self.kept | at_fault, notes=notes)


def common_files(
    nodes: Sequence[Node],
    names: Sequence[FormatName],
    about: About,
    *,
    floor: int,
    refused: Mapping[tuple[str, str], str],
) -> Files:
    """The files that everybody has; arguments as :func:`healthd.publishing.formats.render_all`."""
    made = render_all(nodes, names, about, floor=floor, refused=refused)
    notes = Notes(made.left_out, made.too_few)
    return Files(made.documents, set(made.too_few), notes, (Sample(tuple(nodes), made),))
