"""When it is published: debounced, spaced, not before the first round, again after a failure."""

import itertools
from dataclasses import dataclass, field
from typing import cast

import structlog
import trio

from healthd.config import GateConfig, PublishConfig
from healthd.errors import PublishError
from healthd.model import Health
from healthd.publishing.directory import Published
from healthd.publishing.files import Notes
from healthd.publishing.publisher import Outcome, Publication
from healthd.publishing.service import RETRY, PublishingService, difference
from healthd.publishing.verifying import Judgement
from healthd.verdict.decision import Candidate, Decision, Memory, Mode, after_publishing
from tests.fakes import make_node

GATE = GateConfig(debounce="2s", spacing="5s", min_nodes=1)


@dataclass
class FakePublication:
    """Notes when it was asked to publish what; may be told to fail."""

    config: PublishConfig
    published: Published | None = None
    memory: Memory = field(default_factory=Memory)
    fail: bool = False
    loads: int = 0
    seen: list[tuple[float, tuple[str, ...] | None]] = field(default_factory=list)
    notes: Notes = field(default_factory=Notes)
    next_notes: Notes = field(default_factory=Notes)
    judged: Judgement = field(default_factory=Judgement)
    next_faults: dict[str, str] = field(default_factory=dict)

    @property
    def fault(self) -> Outcome | None:
        return Outcome.REFUSED if self.judged.faults else None

    def takes(self, _node):
        return True

    def load(self) -> None:
        self.loads += 1

    async def publish(self, decision: Decision) -> Outcome:
        nodes = None if decision.nodes is None else tuple(node.id for node in decision.nodes)
        self.seen.append((trio.current_time(), nodes))
        self.notes, self.judged = self.next_notes, Judgement(faults=self.next_faults)
        if self.fail:
            raise PublishError("users", Outcome.FAILED, "disk full")
        if nodes is None:
            return Outcome.KEPT
        if self.published and self.published.nodes == nodes:
            return Outcome.UNCHANGED
        self.published = Published(1, 0.0, nodes)
        self.memory = after_publishing(decision, trio.current_time())
        return Outcome.PUBLISHED


class Stage:
    """A service over a few nodes whose health the test sets."""

    def __init__(self, tmp_path, *, first_round_ends=90.0, ids=("a", "b")) -> None:
        self.health = dict.fromkeys(ids, Health.UNKNOWN)
        self.over = False
        self.monitor_ok = True
        self.probation: float | None = None
        self.told: list[tuple[tuple[str, ...], Decision]] = []
        self.outcomes: list[Outcome] = []
        self.began = trio.current_time()
        self.fake = FakePublication(PublishConfig(name="users", directory=tmp_path))
        nodes = [make_node(node_id) for node_id in ids]
        self.service = PublishingService(
            [cast("Publication", self.fake)],
            candidates=lambda: [self._candidate(node) for node in nodes],
            first_round_over=lambda: self.over,
            first_round_ends=self.began + first_round_ends,
            monitor_ok=lambda: self.monitor_ok,
            interval=lambda: 30.0,
            config=GATE,
            on_outcome=lambda _, outcome, was, decision: self._note(outcome, was, decision),
        )

    def _candidate(self, node) -> Candidate:
        return Candidate(
            node=node, health=self.health[node.id], probation_until=self.probation, last_good=1.0
        )

    def _note(self, outcome, was, decision) -> None:
        self.outcomes.append(outcome)
        self.told.append((tuple(was), decision))

    @property
    def times(self) -> list[float]:
        return [round(at - self.began, 3) for at, nodes in self.fake.seen if nodes is not None]


async def test_waits_for_the_first_round(nursery, autojump_clock, tmp_path):
    """Nothing is published before every node had a verdict; then it is, once, debounced."""
    stage = Stage(tmp_path)
    nursery.start_soon(stage.service.run)
    stage.health["a"] = Health.UP
    stage.service.touch()
    await trio.sleep(10)
    assert stage.times == []
    assert stage.service.decisions["users"].mode is Mode.WAITING
    stage.health["b"], stage.over = Health.UP, True
    stage.service.touch()
    await trio.sleep(10)
    assert stage.times == [12.0]
    assert stage.outcomes[-1] is Outcome.PUBLISHED


async def test_first_round_ends_by_time(nursery, autojump_clock, tmp_path):
    """A node that never gets a verdict holds the publication up no longer than the round."""
    stage = Stage(tmp_path)
    nursery.start_soon(stage.service.run)
    stage.health["a"] = Health.UP
    stage.service.touch()
    await trio.sleep(200)
    assert stage.times[0] == 92.0
    assert stage.fake.published is not None
    assert stage.fake.published.nodes == ("a",)


async def test_storm_becomes_few_publications(nursery, autojump_clock, tmp_path):
    """Changes every 100 ms for a minute: debounced and at least five seconds apart."""
    stage = Stage(tmp_path)
    stage.over = True
    nursery.start_soon(stage.service.run)
    stage.health["a"] = Health.UP
    for number in range(600):
        stage.health["b"] = Health.UP if number % 2 else Health.DOWN
        stage.service.touch()
        await trio.sleep(0.1)
    apart = [later - earlier for earlier, later in itertools.pairwise(stage.times)]
    assert len(stage.times) >= 5
    assert min(apart) >= 2.0
    written = [
        at
        for (at, _), outcome in zip(stage.fake.seen, stage.outcomes, strict=False)
        if outcome is Outcome.PUBLISHED
    ]
    assert all(b - a >= 5.0 for a, b in itertools.pairwise(written))


async def test_failure_is_tried_again(nursery, autojump_clock, tmp_path):
    """A publication that failed is tried again by itself, until it goes well."""
    stage = Stage(tmp_path)
    stage.over, stage.fake.fail = True, True
    stage.health["a"] = Health.UP
    nursery.start_soon(stage.service.run)
    stage.service.touch()
    await trio.sleep(3 * RETRY)
    assert stage.outcomes.count(Outcome.FAILED) >= 2
    stage.fake.fail = False
    await trio.sleep(2 * RETRY)
    assert stage.outcomes[-1] is Outcome.PUBLISHED
    settled = len(stage.fake.seen)
    await trio.sleep(10 * RETRY)
    assert len(stage.fake.seen) == settled


async def test_nodes_that_join_later_do_not_close_the_gate(nursery, autojump_clock, tmp_path):
    """After the first round, an unjudged newcomer does not hold the others up."""
    stage = Stage(tmp_path)
    stage.over = True
    stage.health["a"] = Health.UP
    nursery.start_soon(stage.service.run)
    stage.service.touch()
    await trio.sleep(10)
    stage.over = False
    stage.health["b"] = Health.UP
    stage.service.touch()
    await trio.sleep(10)
    assert stage.fake.published is not None
    assert stage.fake.published.nodes == ("a", "b")


async def test_looks_again_when_time_alone_decides(nursery, autojump_clock, tmp_path):
    """A node whose probation ends goes to its place without anything else happening."""
    stage = Stage(tmp_path)
    stage.over = True
    stage.health = {"a": Health.UP, "b": Health.UP}
    stage.probation = stage.began + 600.0
    nursery.start_soon(stage.service.run)
    stage.service.touch()
    await trio.sleep(500)
    seen = len(stage.fake.seen)

    await trio.sleep(200)

    assert len(stage.fake.seen) > seen
    assert stage.fake.seen[-1][0] == stage.began + 602.0
    settled = len(stage.fake.seen)
    await trio.sleep(5000)
    assert len(stage.fake.seen) == settled


async def test_nothing_changes_while_the_monitor_is_at_fault(nursery, autojump_clock, tmp_path):
    """With the self-check failing the publication stays, and says so; afterwards it follows."""
    stage = Stage(tmp_path)
    stage.over = True
    stage.health = {"a": Health.UP, "b": Health.UP}
    nursery.start_soon(stage.service.run)
    stage.service.touch()
    await trio.sleep(20)
    stage.monitor_ok, stage.health["a"] = False, Health.DOWN
    with structlog.testing.capture_logs() as logs:
        stage.service.touch()
        await trio.sleep(600)
    assert stage.fake.published is not None
    assert stage.fake.published.nodes == ("a", "b")
    assert stage.service.decisions["users"].mode is Mode.OFFLINE
    assert [entry["mode"] for entry in logs if entry["event"] == "gate_mode_changed"] == ["offline"]

    stage.monitor_ok = True
    stage.service.touch()
    await trio.sleep(20)

    assert stage.fake.seen[-1][1] == ("b",)
    assert stage.told[-1][0] == ("a", "b")
    assert difference(*stage.told[-1])["removed"].keys() == {"a"}


async def test_reload_reads_what_is_served_once_more(nursery, autojump_clock, tmp_path):
    """Another daemon's round, or ours, may have ended between a reload and the next look."""
    stage = Stage(tmp_path)
    stage.over = True
    stage.health["a"] = Health.UP
    nursery.start_soon(stage.service.run)
    stage.service.touch()
    await trio.sleep(20)
    assert stage.fake.loads == 0

    stage.service.apply([cast("Publication", stage.fake)], GATE)
    await trio.sleep(20)

    assert stage.fake.loads == 1


async def test_room_that_was_just_taken_is_free_again_in_time(nursery, autojump_clock, tmp_path):
    """Two of three fell, one removal is allowed: the other follows a period later by itself."""
    stage = Stage(tmp_path, ids=("a", "b", "c", "d", "e"))
    stage.over = True
    stage.health = dict.fromkeys(stage.health, Health.UP)
    nursery.start_soon(stage.service.run)
    stage.service.touch()
    await trio.sleep(20)
    stage.health |= {"a": Health.DOWN, "b": Health.DOWN}
    stage.service.touch()
    await trio.sleep(20)
    first = len(stage.fake.seen[-1][1] or ())
    taken = trio.current_time()

    await trio.sleep(GATE.removal_period)

    assert (first, stage.fake.seen[-1][1]) == (4, ("c", "d", "e"))
    assert stage.fake.seen[-1][0] - taken < GATE.removal_period


async def test_formats_are_told_once_for_each_change(nursery, autojump_clock, tmp_path):
    """What a format cannot express is logged when it changes, not at every attempt."""
    stage = Stage(tmp_path)
    stage.over, stage.health["a"] = True, Health.UP
    why = {"xray.json": {"a": "Xray knows no TUIC"}}
    few = {"xray.json": "it can express only 0 of 1 nodes"}
    with structlog.testing.capture_logs() as logs:
        nursery.start_soon(stage.service.run)
        for notes in (Notes(), Notes(why, few), Notes(why, few), Notes(why), Notes(why, few)):
            stage.fake.next_notes = notes
            stage.service.touch()
            await trio.sleep(10)

    told = [each for each in logs if each["event"] in {"nodes_left_out", "format_below_floor"}]
    assert [(each["event"], each["log_level"]) for each in told] == [
        ("nodes_left_out", "info"),
        ("format_below_floor", "warning"),
        ("format_below_floor", "warning"),
    ]
    assert (told[0]["left_out"], told[1]["file"], told[1]["why"]) == (
        why,
        "xray.json",
        few["xray.json"],
    )


async def test_format_at_fault_is_told_once_and_tried_until_it_is_well(
    nursery, autojump_clock, tmp_path
):
    """Counted and tried again by itself like a failure; logged when it begins, changes and ends."""
    stage = Stage(tmp_path)
    stage.over, stage.health["a"] = True, Health.UP
    events = {"publication_format_refused", "publication_format_taken_again", "format_below_floor"}
    with structlog.testing.capture_logs() as logs:
        nursery.start_soon(stage.service.run)
        for why in ("unknown field", "unknown word"):
            stage.fake.next_faults = {"sing-box.json": why}
            stage.fake.next_notes = Notes({}, {"sing-box.json": why})
            stage.service.touch()
            await trio.sleep(3 * RETRY)
        assert stage.outcomes.count(Outcome.PUBLISHED) == 1
        assert stage.outcomes.count(Outcome.REFUSED) == len(stage.fake.seen) >= 5
        stage.fake.next_faults, stage.fake.next_notes = {}, Notes()
        await trio.sleep(3 * RETRY)

    told = [each for each in logs if each["event"] in events]
    assert [(each["event"], each["log_level"], each.get("why")) for each in told] == [
        ("publication_format_refused", "error", "unknown field"),
        ("publication_format_refused", "error", "unknown word"),
        ("publication_format_taken_again", "info", None),
    ]
    settled = len(stage.fake.seen)
    await trio.sleep(10 * RETRY)
    assert len(stage.fake.seen) == settled
