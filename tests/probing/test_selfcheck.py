"""Can the monitor be trusted? Faults come, are told once, and go."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import structlog
import trio
import trio.testing
from trio.testing import MockClock

from healthd.engines import xray
from healthd.engines.dialect import EngineName
from healthd.engines.program import Program
from healthd.engines.tunnels import Tunnels
from healthd.errors import EngineFailed
from healthd.probing.selfcheck import AGAIN, SPAWN_FAILURES, Fault, SelfCheck
from tests.fakes import make_node

INTERVAL = 30.0


class FakeLine:
    """A direct check that answers as the line is at its end; notes when it was asked."""

    def __init__(self, wrong: str | None = None, seconds: float = 0.0) -> None:
        self.wrong = wrong
        self.seconds = seconds
        self.asked: list[float] = []

    async def __call__(self) -> str | None:
        """Ask."""
        self.asked.append(trio.current_time())
        await trio.sleep(self.seconds)
        return self.wrong


class Stage:
    """A running self-check and all that it told."""

    def __init__(self, nursery: trio.Nursery, line: FakeLine, interval: float = INTERVAL) -> None:
        self.line = line
        self.told: list[tuple[float, bool, set[Fault]]] = []
        self.check = SelfCheck(line, interval, self._note)
        self.began = trio.current_time()
        nursery.start_soon(self.check.run)

    def _note(self, ok: bool, faults: Mapping[Fault, str]) -> None:
        self.told.append((trio.current_time() - self.began, ok, set(faults)))

    @property
    def asked(self) -> list[float]:
        """Seconds at which the direct check was made."""
        return [at - self.began for at in self.line.asked]

    async def until(self, second: float) -> None:
        """Sleep until so many seconds after the start, and let everybody work."""
        await trio.sleep_until(self.began + second)
        await trio.testing.wait_all_tasks_blocked()


# --- the line ---


async def test_line_is_asked_for_when_all_is_quiet(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """Without a single probe, the line is asked for at the start and once an interval."""
    stage = Stage(nursery, FakeLine())
    await stage.until(95)

    assert stage.asked == [0, 30, 60, 90]
    assert stage.check.ok
    assert stage.told == []


async def test_quiet_line_that_breaks_is_noticed_and_heals(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """Bad: asked every two seconds from then on; good: once an interval again."""
    stage = Stage(nursery, FakeLine())
    await stage.until(10)
    stage.line.wrong = "one.test: no answer in 5 s"
    await stage.until(33)
    assert not stage.check.ok
    assert "one.test: no answer in 5 s" in stage.check.faults[Fault.LINE]
    stage.line.wrong = None
    await stage.until(70)

    assert stage.told == [(30, False, {Fault.LINE}), (34, True, set())]
    assert stage.asked == [0, 30, 32, 34, 64]
    assert stage.check.faults == {}


async def test_evidence_spares_the_direct_check(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """A success of any probe, or a good control answer, proves the line for an interval."""
    stage = Stage(nursery, FakeLine())
    await stage.until(20)
    stage.check.note_success()
    await stage.until(45)
    stage.check.note_control(good=True)
    await stage.until(74)
    assert stage.asked == [0]
    await stage.until(76)

    assert stage.asked == [0, 75]


async def test_bad_control_answer_breaks_the_line_and_a_good_one_heals_it(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """The control request of a client is as good a witness as the direct check."""
    stage = Stage(nursery, FakeLine())
    await stage.until(10)
    stage.line.wrong = "dead"
    stage.check.note_control(good=False)
    assert set(stage.check.faults) == {Fault.LINE}
    await stage.until(11)
    stage.check.note_control(good=True)
    await stage.until(40)

    assert stage.told == [(10, False, {Fault.LINE}), (11, True, set())]
    assert stage.asked == [0]


async def test_direct_check_heals_what_a_control_answer_broke(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """After a bad control answer the line is asked for two seconds later, however many follow."""
    stage = Stage(nursery, FakeLine())
    await stage.until(10)
    for tenth in range(19):
        await stage.until(10 + tenth / 10)
        stage.check.note_control(good=False)
    await stage.until(13)

    assert stage.asked == [0, 10 + AGAIN]
    assert stage.told == [(10, False, {Fault.LINE}), (12, True, set())]


async def test_success_through_a_node_does_not_heal_the_line(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """Where the check URLs are reachable through the nodes only, no failure can be confirmed."""
    stage = Stage(nursery, FakeLine("blocked here"))
    for second in range(1, 20):
        await stage.until(second)
        stage.check.note_success()

    assert not stage.check.ok
    assert stage.told == [(0, False, {Fault.LINE})]
    assert stage.asked == [0, 2, 4, 6, 8, 10, 12, 14, 16, 18], "nor does it spare a check"


async def test_younger_good_answer_wins(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """A direct check that failed after five seconds is older than a control answer within them."""
    stage = Stage(nursery, FakeLine("silent", seconds=5))
    await stage.until(3)
    stage.check.note_control(good=True)
    await stage.until(6)

    assert stage.told == []
    await stage.until(40)
    assert stage.told == [(38, False, {Fault.LINE})], "an interval later it is asked again"


async def test_short_interval_has_a_shorter_pause(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """While the line is bad it is asked for twice an interval at least."""
    stage = Stage(nursery, FakeLine("dead"), interval=1.0)
    await stage.until(1.7)

    assert stage.asked == [0, 0.5, 1.0, 1.5]


async def test_reload_asks_at_once(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """Other URLs are a new question; what the old ones said does not stand in its way."""
    stage = Stage(nursery, FakeLine("wrong url"))
    await stage.until(3)
    other = FakeLine()
    stage.check.apply(other, 10.0)
    await stage.until(14)

    assert [at - stage.began for at in other.asked] == [3, 13]
    assert stage.told == [(0, False, {Fault.LINE}), (3, True, set())]


async def test_answer_to_a_question_of_yesterday_is_dropped(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """A reload under a check that is on its way: only the new one counts."""
    stage = Stage(nursery, FakeLine("old", seconds=5))
    await stage.until(2)
    other = FakeLine()
    stage.check.apply(other, INTERVAL)
    await stage.until(10)

    assert stage.told == []
    assert [at - stage.began for at in other.asked] == [5]


# --- the loop ---


async def test_lateness_is_a_fault_for_an_interval(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """After a stall nothing is believed for a while; another one begins that while anew."""
    stage = Stage(nursery, FakeLine())
    await stage.until(10)
    stage.check.note_late()
    assert "CPU" in stage.check.faults[Fault.LOOP]
    await stage.until(30)
    stage.check.note_late()
    await stage.until(100)
    stage.check.note_late()
    await stage.until(131)

    assert stage.told == [
        *[(10, False, {Fault.LOOP}), (60, True, set())],
        *[(100, False, {Fault.LOOP}), (130, True, set())],
    ]


# --- spawn ---


@pytest.mark.parametrize("outcome", ["failed", "port_taken"])
@pytest.mark.parametrize("cure", ["ready", "refused"])
def test_starts_that_fail_in_a_row_are_a_fault(outcome: str, cure: str) -> None:
    """One failure is an accident, two in a row are not; one start that works ends it."""
    check = SelfCheck(FakeLine(), INTERVAL)
    story = [
        (outcome, True, "one is an accident"),
        (cure, True, "it works"),
        (outcome, True, "one, not in a row with the first"),
        (outcome, False, "two in a row"),
        (outcome, False, "and a third"),
        (cure, True, "the engine runs"),
        (outcome, True, "counted from the beginning"),
    ]
    assert SPAWN_FAILURES == 2
    for step, ok, why in story:
        check.engine_start(EngineName.XRAY, step)
        assert check.ok is ok, why
    check.engine_start(EngineName.XRAY, outcome)
    assert set(check.faults) == {Fault.SPAWN}


def test_one_engine_of_two_is_no_fault_of_the_monitor() -> None:
    """Its nodes keep their health and it is told once; the others are judged as ever."""
    check = SelfCheck(FakeLine(), INTERVAL)
    with structlog.testing.capture_logs() as logs:
        check.engine_start(EngineName.XRAY, "ready")
        for _ in range(SPAWN_FAILURES + 1):
            check.engine_start(EngineName.SING_BOX, "failed")
        assert check.ok
        check.engine_start(EngineName.SING_BOX, "ready")
        for _ in range(SPAWN_FAILURES):
            check.engine_start(EngineName.SING_BOX, "failed")
            check.engine_start(EngineName.XRAY, "failed")

    assert set(check.faults) == {Fault.SPAWN}
    assert [(line["event"], line["engine"]) for line in logs if "engine" in line] == [
        ("engine_does_not_start", "sing-box"),
        ("engine_starts_again", "sing-box"),
        ("engine_does_not_start", "sing-box"),
        ("engine_does_not_start", "xray"),
    ]


async def test_engine_that_takes_nothing_is_a_fault(tmp_path: Path) -> None:
    """An engine that refuses every configuration does not start: that is no node's fault."""
    engine = tmp_path / "engine"
    engine.write_text("#!/bin/sh\necho 'Failed to start: unknown thing'\nexit 23\n")
    engine.chmod(0o755)
    check = SelfCheck(FakeLine(), INTERVAL)
    node = make_node("a")
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            tunnels = Tunnels(
                {EngineName.XRAY: Program(xray.DIALECT, str(engine), "self-check test")},
                nursery,
                shift_mates=lambda _: [node],
                shift=5.0,
                max_clients=2,
                shift_clients=1,
                on_start=check.engine_start,
            )
            for _ in range(SPAWN_FAILURES):
                with pytest.raises(EngineFailed, match="unknown thing"):
                    async with tunnels.open(node):
                        raise AssertionError("it cannot be ready")
            nursery.cancel_scope.cancel()

    assert set(check.faults) == {Fault.SPAWN}


# --- shortages, and telling ---


async def test_shortages_replace_each_other(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """What is named is short, what is not is there; other faults stay as they are."""
    stage = Stage(nursery, FakeLine())
    await stage.until(1)
    stage.check.note_control(good=False)
    stage.check.note_shortages({Fault.DISK: "1 MiB", Fault.MEMORY: "2 MiB"})
    stage.check.note_shortages({Fault.DISK: "0.5 MiB"})
    stage.check.note_shortages({Fault.DISK: "0.4 MiB"})
    stage.check.note_shortages({})
    stage.check.note_control(good=True)

    assert stage.told == [
        (1, False, {Fault.LINE}),
        (1, False, {Fault.LINE, Fault.DISK, Fault.MEMORY}),
        (1, False, {Fault.LINE, Fault.DISK}),
        (1, False, {Fault.LINE}),
        (1, True, set()),
    ]


def test_words_keep_up_silently() -> None:
    """The figure in the words changes with every look; only coming and going is told."""
    told: list[bool] = []
    check = SelfCheck(FakeLine(), INTERVAL, lambda ok, _: told.append(ok))
    check.note_shortages({Fault.DISK: "7 MiB"})
    before = check.faults
    check.note_shortages({Fault.DISK: "6 MiB"})

    assert told == [False]
    assert check.faults == {Fault.DISK: "6 MiB"}
    assert before == {Fault.DISK: "7 MiB"}, "what somebody took does not change under his hands"


def test_changes_are_logged_once() -> None:
    """`self_check_changed` with ok and the faults in words: an error, or good news."""
    check = SelfCheck(FakeLine(), INTERVAL)
    with structlog.testing.capture_logs() as logs:
        for shortages in ({}, {Fault.MEMORY: "few"}, {Fault.MEMORY: "fewer"}, {}, {}):
            check.note_shortages(shortages)

    event = "self_check_changed"
    assert logs == [
        {"event": event, "log_level": "error", "ok": False, "faults": {"memory": "few"}},
        {"event": event, "log_level": "info", "ok": True, "faults": {}},
    ]


async def test_every_fault_can_come_and_go(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """Each kind has its witness, and none of them stays for ever."""
    stage = Stage(nursery, FakeLine())
    check = stage.check
    await stage.until(1)
    check.note_control(good=False)
    check.note_late()
    check.note_shortages({Fault.DESCRIPTORS: "few", Fault.MEMORY: "few", Fault.DISK: "few"})
    for _ in range(SPAWN_FAILURES):
        check.engine_start(EngineName.XRAY, "failed")
    assert list(check.faults) == list(Fault)
    assert all(check.faults.values())
    check.engine_start(EngineName.XRAY, "ready")
    check.note_shortages({})
    await stage.until(2 + INTERVAL)

    assert check.ok


async def test_a_bad_line_is_remembered_until_it_came_back(autojump_clock: MockClock) -> None:
    """Who began before the line was good again began on a bad one."""
    check = SelfCheck(FakeLine(), INTERVAL)
    began = trio.current_time()
    seen = [check.line_was_bad(began)]
    check.note_control(good=False)
    await trio.sleep(5)
    seen.append(check.line_was_bad(trio.current_time()))
    check.note_control(good=True)
    healed = trio.current_time()
    await trio.sleep(5)
    check.note_control(good=True)

    assert seen == [False, True]
    assert check.line_was_bad(began)
    assert check.line_was_bad(healed)
    assert not check.line_was_bad(healed + 0.001)
