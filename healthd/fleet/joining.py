"""Nodes of the configuration and of all sources become one fleet. Pure.

A source's node is what it connects to: its id comes from the endpoint, so that a panel that renames
or reorders its nodes changes neither ids, nor what is known about them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from healthd.endpoints import fingerprint
from healthd.fleet.reading import Entry, Reading
from healthd.model import Node, Role

ID_DIGITS = 12
"""Hex digits of an endpoint's fingerprint in an id: 48 bits, and with the longest prefix
still an id of at most 64 characters. A thousand nodes meet by chance once in 10^9 fleets."""


@dataclass(frozen=True, slots=True)
class Joined:
    """The fleet."""

    fleet: tuple[Node, ...]
    """In failover order: primaries first; the configuration's before the sources', each source in
    its place, its nodes as it gave them."""
    duplicates: Mapping[str, int]
    """Source -> how many of its nodes are in the fleet already, from elsewhere."""


def nodes(reading: Reading, *, prefix: str, role: Role, tags: Iterable[str]) -> tuple[Node, ...]:
    """The nodes of a source. ``role``, ``tags`` and ``prefix`` of ids are its own."""
    shared = frozenset(tags)
    return tuple(_node(entry, prefix, role, shared) for entry in reading.entries)


def _node(entry: Entry, prefix: str, role: Role, tags: frozenset[str]) -> Node:
    endpoint, print_of_it = entry.endpoint, fingerprint(entry.endpoint)
    return Node(
        id=f"{prefix}{print_of_it[:ID_DIGITS]}",
        name=entry.name or f"{endpoint.address} {endpoint.port}",
        endpoint=endpoint,
        fingerprint=print_of_it,
        role=role,
        tags=tags,
    )


def join(configured: Sequence[Node], by_source: Mapping[str, Sequence[Node]]) -> Joined:
    """One fleet of all nodes; what is there twice is the configuration's, or the first source's."""
    fleet = list(configured)
    ids = {node.id for node in fleet}
    fingerprints = {node.fingerprint for node in fleet}
    duplicates: dict[str, int] = {}
    for source, found in by_source.items():
        new = [node for node in found if _is_new(node, ids, fingerprints)]
        duplicates[source] = len(found) - len(new)
        fleet += new
    fleet.sort(key=lambda node: node.role is not Role.PRIMARY)
    return Joined(tuple(fleet), duplicates)


def _is_new(node: Node, ids: set[str], fingerprints: set[str]) -> bool:
    if node.id in ids or node.fingerprint in fingerprints:
        return False
    ids.add(node.id)
    fingerprints.add(node.fingerprint)
    return True
