"""What is kept of a node's record to be taken up by the next run, as a JSON document. Pure.

Pydantic reads and writes the documents by the fields of the verdict's own types: a field that is
added there is kept without a word here, and one that an old document lacks has its default.
"""

from dataclasses import dataclass, replace

from pydantic import TypeAdapter

from healthd.model import AdminMode
from healthd.verdict import machine
from healthd.verdict.board import Record
from healthd.verdict.machine import State
from healthd.verdict.quality import Speed


@dataclass(frozen=True, slots=True)
class Saved:
    """What is kept of one record."""

    fingerprint: str
    """Of the endpoint that all of it is about."""
    state: State
    speed: Speed
    last_good: float | None = None
    changed: float | None = None
    evidence: str = ""
    admin: AdminMode = AdminMode.ENABLED

    def moved(self, by: float) -> "Saved":
        """The same with state and speed on a clock that shows ``by`` seconds more."""
        sampled = self.speed.sampled_at
        speed = self.speed if sampled is None else replace(self.speed, sampled_at=sampled + by)
        return replace(self, state=machine.shifted(self.state, by), speed=speed)

    def is_still(self, record: Record) -> bool:
        """Whether the record is as it was. By identity: the verdict makes a new value of news."""
        return (
            self.state is record.state
            and self.speed is record.speed
            and self.last_good == record.last_good
            and self.changed == record.changed
            and self.admin is record.admin
            and self.fingerprint == record.node.fingerprint
        )


def saved(record: Record) -> Saved:
    """What is to be kept of a record; its times are still the record's own."""
    return Saved(
        record.node.fingerprint,
        record.state,
        record.speed,
        record.last_good,
        record.changed,
        record.evidence,
        record.admin,
    )


_DOCUMENT = TypeAdapter(Saved)


def write(kept: Saved) -> str:
    """The document; times should be wall-clock seconds by now."""
    return _DOCUMENT.dump_json(kept).decode()


def parse(document: str) -> Saved:
    """What a document says.

    Raises:
        ValueError: it cannot be read.
    """
    return _DOCUMENT.validate_json(document)
