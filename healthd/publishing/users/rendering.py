"""The documents of every user: his nodes, with his credentials, in the gate's order. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from healthd.config import FormatName
from healthd.model import Node
from healthd.publishing.files import Files, Notes, Sample
from healthd.publishing.formats import About, Rendering, render_all
from healthd.publishing.users.credentials import allowed, nodes_for
from healthd.publishing.users.parsing import User, tags_of


@dataclass(frozen=True, slots=True)
class Users:
    """Who has files of his own, and what the tiers of the configuration allow."""

    everyone: tuple[User, ...]
    tiers: Mapping[str, Sequence[str]]
    """Tier -> tags of the nodes it may use; an empty list: all nodes."""

    @property
    def tokens(self) -> set[str]:
        """The folders that there are."""
        return {user.token for user in self.everyone}


def user_files(
    nodes: Sequence[Node],
    users: Users,
    names: Sequence[FormatName],
    about: About,
    *,
    floor: int,
    refused: Mapping[tuple[str, str], str],
) -> Files:
    """Render the formats of these names for each user.

    Args:
        nodes: All that are published, in failover order.
        users: Who gets files.
        names: The formats.
        about: What the documents say beside their nodes.
        floor: Of the whole publication. A user's is in proportion to his share of the nodes.
        refused: Nodes that an engine has refused in a document; they are left out of it.
    """
    documents, kept, notes = dict[str, bytes](), set[str](), Notes()
    samples: dict[tuple[str, ...], Sample] = {}
    permitted: dict[frozenset[str] | None, list[Node]] = {}  # a few selections for all users
    for user in users.everyone:
        tags = tags_of(user, users.tiers)
        if tags not in permitted:
            permitted[tags] = allowed(nodes, tags)
        own, lacking = nodes_for(permitted[tags], user)
        share = floor_for(floor, len(own), len(nodes))
        made = render_all(own, names, about, floor=share, refused=refused)
        for file, document in made.documents.items():
            documents[f"{user.token}/{file}"] = document
        kept.update(f"{user.token}/{file}" for file in made.too_few)
        for file, why in made.left_out.items():
            notes.left_out.setdefault(file, {}).update(why)
        notes.users[user.name] = _told(own, lacking, made)
        samples.setdefault(tuple(node.id for node in own), Sample(own, made))
    return Files(documents, kept, notes, _cover(samples.values()))


def floor_for(floor: int, own: int, of_all: int) -> int:
    """A user's floor: the publication's, in proportion to his nodes; rounded up, at least 1."""
    return max(1, -(-floor * own // max(of_all, 1)))


def _told(own: Sequence[Node], lacking: Mapping[str, str], made: Rendering) -> dict[str, Any]:
    """What meta.json tells of one user; nothing of it is secret."""
    found = {"left_out": lacking, "not_written": made.too_few}
    return {"nodes": len(own), **{key: value for key, value in found.items() if value}}


def _cover(samples: Iterable[Sample]) -> tuple[Sample, ...]:
    """As few as hold every node: each user may have tags of his own, and engines take their time.

    What an engine takes with many nodes it takes with some of them.
    """
    chosen, seen = list[Sample](), set[str]()
    for sample in sorted(samples, key=lambda each: -len(each.nodes)):
        if new := {node.id for node in sample.nodes} - seen:
            chosen.append(sample)
            seen |= new
    return tuple(chosen)
