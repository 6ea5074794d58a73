"""Sources on virtual time: a panel that says what the test wants, and nothing that blocks."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import structlog
import trio

from healthd.config import SourceConfig
from healthd.errors import SourceError
from healthd.fleet import links
from healthd.sourcing.fetching import Answer
from healthd.sourcing.service import Sources
from healthd.sourcing.shelf import Shelf
from tests.builders import vless

T = TypeVar("T")
WALL = 1_800_000_000.0


def body(*numbers: int, names: Sequence[str] = ()) -> bytes:
    """A subscription of the nodes with these numbers, under these names."""
    called = list(names) or [f"node {number}" for number in numbers]
    lines = [
        links.write(vless(address=f"192.0.2.{number}"), name)
        for number, name in zip(numbers, called, strict=True)
    ]
    return "\n".join(lines).encode()


def source(name: str = "panel", **changes: object) -> SourceConfig:
    """A source of this name; its URL is never asked."""
    return SourceConfig.model_validate(
        {"name": name, "url": f"https://{name}.example.com/SECRET", "refresh": "5m"} | changes
    )


async def inline(work: Callable[[], T]) -> T:
    """Run at once what would block: threads look idle to a clock that jumps."""
    await trio.lowlevel.checkpoint()
    return work()


class Stage:
    """Sources, what their panels say, and what happened."""

    def __init__(self, nursery: Any, tmp_path: Path) -> None:
        self.says: dict[str, Answer | Exception | None] = {}
        self.asked: list[tuple[float, str, str]] = []
        self.takes = 0.0
        self.changes = 0
        self.context: dict[str, Any] = {}
        self.ahead = 0.0
        self.shelf = Shelf(tmp_path / "sources")
        self.sources = Sources(
            nursery,
            self._fetch,
            self.shelf,
            changed=self._changed,
            wall=self.wall,
            beside=inline,
        )
        self.began = trio.current_time()

    def wall(self) -> float:
        """Wall-clock seconds."""
        return WALL + trio.current_time() + self.ahead

    def say(self, answer: bytes | str | None, name: str = "panel", etag: str = "") -> None:
        """From now on the panel gives this body; a text is the reason why there is none."""
        match answer:
            case bytes():
                self.says[name] = Answer(answer, etag)
            case str():
                self.says[name] = SourceError(name, answer)
            case None:
                self.says[name] = None

    async def run(self, *configs: SourceConfig) -> None:
        """Start as the daemon does."""
        await self.sources.recall(configs)
        self.sources.start()

    async def until(self, seconds: float) -> None:
        """Let time pass until so many seconds after the beginning."""
        await trio.sleep_until(self.began + seconds)

    def names(self) -> list[str]:
        """The names of all nodes, in order."""
        return [node.name for node in self.sources.join(())]

    def ids(self) -> list[str]:
        """The ids of all nodes, in order."""
        return [node.id for node in self.sources.join(())]

    def times(self, name: str = "panel") -> list[float]:
        """When the panel was asked."""
        return [round(at - self.began, 3) for at, asked, _ in self.asked if asked == name]

    async def _fetch(self, config: SourceConfig, etag: str) -> Answer | None:
        self.asked.append((trio.current_time(), config.name, etag))
        await trio.sleep(self.takes)
        answer = self.says[config.name]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _changed(self) -> None:
        self.changes += 1
        self.context |= structlog.contextvars.get_contextvars()
