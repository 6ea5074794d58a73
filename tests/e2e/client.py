"""A client that fetches what is published all the time, and never may see anything wrong."""

import base64
import hashlib
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import trio

from healthd.fleet import links

_EVERY = 0.02
"""Seconds between looks; publications are at least half a second apart."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One generation."""

    at: float
    """Wall-clock seconds at which it was written: looks may come late on a busy machine."""
    number: int
    nodes: tuple[str, ...]
    mode: str
    documents: tuple[str, ...]
    """Digests of the files that clients use."""


@dataclass
class Client:
    """Looks at a publication's directory as nginx does, by its stable names.

    Each look finds whole files that fit together, and a generation that never falls; whatever
    happens to the daemon meanwhile.
    """

    public: Path
    seen: list[Seen] = field(default_factory=list)
    looks: int = 0
    _place: str = ""
    _names: set[str] = field(default_factory=set, repr=False)

    async def watch(self) -> None:
        """Look until cancelled."""
        while True:
            self.look()
            await trio.sleep(_EVERY)

    def look(self) -> None:
        """Look once."""
        try:
            place = str((self.public / ".current").readlink())
        except FileNotFoundError:
            assert not self.seen, "what was published once has gone"
            return
        self.looks += 1
        files = {path.name: path.read_bytes() for path in (self.public / place).iterdir()}
        # The names appear right behind the first flip; from then on each leads somewhere.
        for name in self._names:
            assert (self.public / name).read_bytes(), name
        self._names.update(name for name in files if (self.public / name).is_symlink())
        if place != self._place:
            self._place = place
            self._take(files, (self.public / place / "meta.json").stat().st_ctime)

    def fewest(self) -> int:
        """The least number of nodes that was ever served."""
        return min(len(seen.nodes) for seen in self.seen)

    def removals(self) -> list[tuple[float, frozenset[str]]]:
        """When nodes went, and which."""
        gone = [
            (after.at, frozenset(before.nodes) - frozenset(after.nodes))
            for before, after in pairwise(self.seen)
        ]
        return [(at, nodes) for at, nodes in gone if nodes]

    def most_removed_within(self, seconds: float) -> int:
        """The most nodes that went within a span of so many seconds, whenever it began."""
        removals = self.removals()
        return max(
            (
                sum(len(nodes) for at, nodes in removals if first <= at < first + seconds)
                for first, _ in removals
            ),
            default=0,
        )

    def idle_writes(self) -> list[int]:
        """Generations that give clients exactly what the one before gave them."""
        return [
            after.number
            for before, after in pairwise(self.seen)
            if before.documents == after.documents
        ]

    def _take(self, files: dict[str, bytes], at: float) -> None:
        meta = json.loads(files.pop("meta.json"))
        digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        assert digests == {name: about["sha256"] for name, about in meta["files"].items()}
        _read_documents(files, meta)
        number = int(meta["generation"])
        assert not self.seen or number > self.seen[-1].number, "a generation came twice"
        nodes, mode = tuple(meta["nodes"]), str(meta["mode"])
        assert nodes
        self.seen.append(Seen(at, number, nodes, mode, tuple(sorted(digests.values()))))


def _read_documents(files: dict[str, bytes], meta: dict[str, Any]) -> None:
    """As strictly as the pickiest client does."""
    lines = base64.b64decode(files["links.txt"].strip(), validate=True).decode().splitlines()
    names = [links.parse(line)[1] for line in lines if not line.startswith("#")]
    assert names == meta["nodes"]
    assert [each["remarks"] for each in json.loads(files["xray.json"])][1:] == meta["nodes"]


@asynccontextmanager
async def watching(public: Path):
    """A client that watches as long as the block lasts."""
    client = Client(public)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.watch)
        yield client
        nursery.cancel_scope.cancel()
