"""Whether an answer may come in force: read, and measured by what is in force already."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from healthd.config import SourceConfig
from healthd.fleet import guard, joining, subscriptions
from healthd.fleet.subscriptions import Reading, Unreadable
from healthd.model import Node
from healthd.sourcing.shelf import Kept


@dataclass(frozen=True, slots=True)
class Good:
    """An answer that may be in force, as it was read."""

    kept: Kept
    reading: Reading


@dataclass(frozen=True, slots=True)
class Refused:
    """An answer that was not taken up."""

    body: bytes = field(repr=False)
    why: str
    readable: Good | None = None
    """What it would be if it were accepted."""

    @property
    def acceptable(self) -> Good | None:
        """What may be accepted: there is no accepting of what holds no node."""
        return self.readable if self.readable and self.readable.reading.entries else None


Reader = Callable[..., Reading]


def read(kept: Kept, max_nodes: int, reader: Reader = subscriptions.read) -> Good:
    """Read an answer; takes a while.

    Raises:
        Unreadable: it is no subscription, or has too many nodes.
    """
    try:
        reading = reader(kept.body, max_nodes=max_nodes)
    except Unreadable:
        raise
    except Exception as why:  # noqa: BLE001 - a stranger's text must not end the daemon again and again
        # Its words may quote the answer.
        raise Unreadable(f"healthd itself failed to read it ({place(why)}); report this") from None
    return Good(replace(kept, nodes=len(reading.entries)), reading)


def recall(kept: Kept, config: SourceConfig) -> Good:
    """Read what an earlier run kept. It was good then: a lower limit of today is for new answers.

    Raises:
        Unreadable: it is not what was kept.
    """
    return read(kept, max(config.max_nodes, kept.nodes))


def nodes_of_source(reading: Reading, config: SourceConfig) -> tuple[Node, ...]:
    """The nodes of an answer, as the source's table wants them."""
    return joining.nodes(reading, prefix=config.prefix, role=config.role, tags=config.tags)


def weigh(kept: Kept, *, name: str, before: int, max_nodes: int) -> Good | Refused:
    """Judge a new answer of a source; takes a while.

    Args:
        kept: The answer.
        name: The source's.
        before: How many nodes of it are in force.
        max_nodes: How many it may have.
    """
    try:
        good = read(kept, max_nodes)
    except Unreadable as why:
        return Refused(kept.body, why.why)
    why_not = guard.refusal(before, good.reading, name)
    return good if why_not is None else Refused(kept.body, why_not, good)


def place(why: Exception) -> str:
    """Which fault it is, and in which line; its words may be a stranger's."""
    trace = why.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "?"
    return f"{type(why).__name__} at {where}"
