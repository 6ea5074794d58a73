"""Nodes of foreign text as [[nodes]] tables: readable ids, own links, nothing twice."""

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, count
from typing import Any

import tomli_w

from healthd.endpoints import Endpoint, fingerprint
from healthd.fleet import links
from healthd.fleet.reading import Entry, LeftOut, Outcome, Reading
from healthd.model import Role

_LONGEST_ID = 64
_FLAG = re.compile("[\U0001f1e6-\U0001f1ff]{2}")
"""Two regional indicators make the flag of a country."""


@dataclass(slots=True)
class Harvest:
    """What several inputs hold together; each node once."""

    known: set[str] = field(default_factory=set)
    """Fingerprints of what the target and the inputs so far hold."""
    entries: list[Entry] = field(default_factory=list)
    left_out: list[tuple[str, LeftOut]] = field(default_factory=list)
    """With the input that each stands in."""

    def add(self, label: str, reading: Reading) -> None:
        """Take what is new in one more input."""
        self.left_out += [(label, each) for each in reading.left_out]
        for entry in reading.entries:
            mark = fingerprint(entry.endpoint)
            if mark in self.known:
                why = "is there already"
                self.left_out.append((label, LeftOut(entry.where, Outcome.DUPLICATE, why)))
            else:
                self.known.add(mark)
                self.entries.append(entry)

    @property
    def counts(self) -> Mapping[Outcome, int]:
        """How many entries ended in each outcome."""
        return Reading(tuple(self.entries), tuple(each for _, each in self.left_out)).counts


def tables(
    entries: Sequence[Entry],
    *,
    taken: Collection[str],
    prefix: str,
    role: Role,
    tags: Sequence[str],
) -> Iterator[dict[str, Any]]:
    """A [[nodes]] table for each entry, in their order; defaults are left out.

    Args:
        entries: All different nodes.
        taken: Ids that are not free.
        prefix: What their ids begin with.
        role: Of them all.
        tags: Of them all.
    """
    for entry, node_id in zip(entries, _ids(entries, taken, prefix), strict=True):
        table: dict[str, Any] = {"id": node_id, "link": links.write(entry.endpoint)}
        if entry.name and entry.name != node_id:
            table["name"] = entry.name
        if role is not Role.FAILOVER:
            table["role"] = str(role)
        if tags:
            table["tags"] = list(tags)
        yield table


def text_of(found: Sequence[Mapping[str, Any]]) -> str:
    """The tables as TOML; each one by itself, so that it can follow whatever is there."""
    return "\n".join(f"[[nodes]]\n{tomli_w.dumps(table)}" for table in found)


def _ids(entries: Sequence[Entry], taken: Collection[str], prefix: str) -> Iterator[str]:
    """Ids that stay the same however the entries are ordered.

    Where several have one name, all of them get a part of their fingerprint behind it.
    """
    used = set(taken)
    slugs = [slug(entry.name) or _place(entry.endpoint) for entry in entries]
    shared = Counter(slugs)
    for entry, readable in zip(entries, slugs, strict=True):
        mark = fingerprint(entry.endpoint)
        plain = [] if shared[readable] > 1 else [""]
        # The numbered ones are for an id that somebody gave to another node by hand.
        numbered = (f"-{mark}-{number}" for number in count(2))
        endings = chain(plain, [f"-{mark[:6]}", f"-{mark}"], numbered)
        made = (_fitted(prefix, readable, ending) for ending in endings)
        found = next(node_id for node_id in made if node_id not in used)
        used.add(found)
        yield found


def _fitted(prefix: str, readable: str, ending: str) -> str:
    room = _LONGEST_ID - len(prefix) - len(ending)
    return f"{prefix}{readable[:room].rstrip('.-')}{ending}"


def slug(name: str) -> str:
    """A name in the letters that an id may have; empty if nothing of it is left."""
    countries = _FLAG.sub(lambda flag: f" {_country(flag[0])} ", name)
    plain = unicodedata.normalize("NFKD", countries).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9._]+", "-", plain).strip("-._")


def _country(flag: str) -> str:
    return "".join(chr(ord(letter) - 0x1F1E6 + ord("a")) for letter in flag)


def _place(endpoint: Endpoint) -> str:
    """For a node without a usable name."""
    return f"{endpoint.protocol}-{slug(endpoint.address)}-{endpoint.port}"
