"""`healthd history` and `healthd sla`: they read the file, whether the daemon runs or not."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from healthd.cli import cli
from healthd.model import AdminMode, Health
from healthd.store.service import FILE
from healthd.verdict.ledger import Kind, SlotVerdict, hour_of
from healthd.verdict.machine import Transition
from healthd.verdict.overrides import Override
from tests.builders import PUBLIC_KEY, USER
from tests.store.support import FELL, change, running, stage

HOUR = 3600.0
SLOT = 30.0


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration with the nodes hk-1 and de-1."""
    path = tmp_path / "config.toml"
    link = f"vless://{USER}@192.0.2.1:443?security=reality&pbk={PUBLIC_KEY}&sni=a.test"
    nodes = "".join(f'[[nodes]]\nid = "{name}"\nlink = "{link}"\n' for name in ("hk-1", "de-1"))
    path.write_text(
        f'[paths]\nstate = "{tmp_path}/state"\n[[publish]]\nname = "users"\n'
        f'directory = "{tmp_path}/public"\n{nodes}'
    )
    return path


@pytest.fixture
def file(config: Path) -> Path:
    """Where its store is."""
    return config.parent / "state" / FILE


def invoke(*arguments: object, columns: int = 200) -> Result:
    return CliRunner(env={"COLUMNS": str(columns)}).invoke(cli, [str(each) for each in arguments])


async def live(file: Path) -> float:
    """A day that ended with the last whole hour; return when that was.

    hk-1: 2,880 slots, 2 bad: availability 0.99931, and 0.88 of the budget of 2.88 slots is left.
    de-1: 2,880 slots, 3 bad: 0.99896, which misses 99.9 %.
    lost: 2,880 slots, 200 unknown: coverage 0.93.
    """
    end = hour_of(time.time()) * HOUR
    begin = end - 24 * HOUR
    here = stage(file)
    async with running(here.store):
        here.store.watched_are(["hk-1", "de-1", "lost"], ["users"], begin)
        assert await here.store.flush()
        here.store.watched_are([], [], end)
        for name, verdict, count in (
            ("hk-1", SlotVerdict.BAD, 2),
            ("de-1", SlotVerdict.BAD, 3),
            ("lost", SlotVerdict.UNKNOWN, 200),
        ):
            for number in range(2880):
                noted = verdict if number < count else SlotVerdict.GOOD
                latency = 0.25 if noted is SlotVerdict.GOOD else None
                at = begin + number * SLOT
                here.store.ledger.note(Kind.NODE, name, at, noted, latency)
        for number in range(2880):
            at = begin + number * SLOT
            here.store.ledger.note(Kind.PUBLICATION, "users", at, SlotVerdict.GOOD)
        here.store.note_transition("hk-1", FELL, end - 9 * 86400, "long ago")
        here.store.note_transition("hk-1", FELL, end - 60, "no [answer]")
        rose = Transition(Health.RECOVERING, Health.UP, 9.0, None, "3 successes")
        here.store.note_transition("hk-1", rose, end)
        drained = Override(
            pattern="hk-*", mode=AdminMode.DRAIN, reason="disk", author="eve", created=end
        )
        forced = Override(
            pattern="hk-1",
            mode=AdminMode.FORCE_UP,
            reason="[test]",
            author="adam",
            created=end,
            expires=time.time() + HOUR,
        )
        here.store.set_overrides([drained, forced])
    return end


class TestSla:
    async def test_for_programs(self, config, file):
        """Every figure, services first, with its unit in its name."""
        end = await live(file)
        answer = invoke("sla", "-c", config, "--days", "2", "--json")
        told = json.loads(answer.stdout)
        rows = {row["name"]: row for row in told["subjects"]}

        assert list(rows) == ["users", "de-1", "hk-1", "lost"]
        assert (told["days"], told["objective_percent"]) == (2, 99.9)
        stamps = [
            time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)) for at in (end - 24 * HOUR, end)
        ]
        assert rows["hk-1"] == {
            "kind": "node",
            "name": "hk-1",
            "begin": stamps[0],
            "end": stamps[1],
            "verdict": "met",
            "availability_percent": 99.9306,
            "coverage_percent": 100.0,
            "good": 2878,
            "bad": 2,
            "excluded": 0,
            "unknown": 0,
            "budget_slots": 2.9,
            "budget_left_slots": 0.9,
            "budget_left_minutes": 0.4,
            "budget_left_percent": 30.6,
            "latency_mean_ms": 250.0,
            "latency_max_ms": 250.0,
        }
        assert (rows["users"]["kind"], rows["users"]["verdict"]) == ("service", "met")
        assert rows["users"]["latency_mean_ms"] is None
        assert (rows["de-1"]["verdict"], rows["de-1"]["budget_left_slots"]) == ("missed", -0.1)
        assert rows["lost"]["verdict"] == "insufficient data"
        assert answer.exit_code == 1

    @pytest.mark.parametrize(("objective", "code"), [("99.9", 1), ("99.8", 0), ("99.99", 1)])
    async def test_exit_code(self, config, file, objective, code):
        """1 when an objective is missed; insufficient data misses nothing."""
        await live(file)

        assert invoke("sla", "-c", config, "--objective", objective).exit_code == code

    async def test_exactly_met(self, config, file):
        """An objective that is met to the slot is met: 99.9 / 100 is no round number."""
        end = hour_of(time.time()) * HOUR
        here = stage(file)
        async with running(here.store):
            here.store.watched_are(["hk-1"], [], end - 30_000)
            assert await here.store.flush()
            here.store.watched_are([], [], end)
            for number in range(1000):
                verdict = SlotVerdict.GOOD if number else SlotVerdict.BAD
                at = end - 30_000 + number * SLOT
                here.store.ledger.note(Kind.NODE, "hk-1", at, verdict)
        answer = invoke("sla", "-c", config, "--json")

        (row,) = json.loads(answer.stdout)["subjects"]
        assert (row["verdict"], row["budget_left_slots"]) == ("met", 0.0)
        assert answer.exit_code == 0

    @pytest.mark.parametrize("columns", [80, 200])
    async def test_for_people(self, config, file, columns):
        """A line each, even on a narrow screen; where no availability is known, none is shown."""
        await live(file)
        lines = invoke("sla", "-c", config, "--days", "2", columns=columns).stdout.splitlines()
        hk, lost = (next(line for line in lines if name in line) for name in ("hk-1", "lost"))

        assert "met" in hk
        assert "99.9306 %" in hk
        assert "0.9 slots, 0.4 min, 30.6 %" in hk
        assert "250 / 250 ms" in hk
        assert "insufficient data" in lost
        assert "93.06 %" in lost
        assert "100.0000 %" not in lost

    def test_nothing_watched(self, config, file):
        """An empty store: says so."""
        stage(file)

        assert "nothing was watched" in invoke("sla", "-c", config).stdout

    @pytest.mark.parametrize(
        "wrong", [("--days", "0"), ("--days", "401"), ("--objective", "100"), ("--objective", "0")]
    )
    def test_usage(self, config, wrong):
        """Days and percent within reason."""
        assert invoke("sla", "-c", config, *wrong).exit_code == 2


class TestHistory:
    async def test_for_programs(self, config, file):
        """Transitions oldest first, and the overrides in force, the last of which holds."""
        await live(file)
        told = json.loads(invoke("history", "hk-1", "-c", config, "--json").stdout)

        assert [(each["before"], each["after"]) for each in told["transitions"]] == [
            ("suspect", "down"),
            ("recovering", "up"),
        ]
        assert told["transitions"][0]["reason"] == "timeout"
        assert told["transitions"][0]["evidence"] == "4 failures in 20 s"
        assert told["transitions"][0]["detail"] == "no [answer]"
        assert told["transitions"][0]["at"].endswith("Z")
        assert [(each["mode"], each["expires"] is None) for each in told["overrides"]] == [
            ("drain", True),
            ("force-up", False),
        ]

    async def test_for_people(self, config, file):
        """The same as a table; foreign text is shown as it is."""
        await live(file)
        answer = invoke("history", "hk-1", "-c", config, "--since", "30d")

        assert answer.exit_code == 0
        assert "long ago" in answer.stdout
        assert "no [answer]" in answer.stdout
        assert answer.stdout.index("long ago") < answer.stdout.index("no [answer]")
        assert "hk-*: drain until it is resumed, by eve: disk" in answer.stdout
        assert "by adam: [test]" in answer.stdout

    async def test_quiet_node(self, config, file):
        """A node to which nothing happened, or of which the store knows nothing yet."""
        await live(file)

        assert "nothing happened" in invoke("history", "de-1", "-c", config).stdout

    async def test_node_that_left(self, config, file):
        """A node that is only in the store has a history all the same."""
        await live(file)

        assert invoke("history", "lost", "-c", config).exit_code == 0

    @pytest.mark.parametrize(
        ("name", "hint"),
        [("hk1", "did you mean hk-1?"), ("zzzz", "there are: de-1, hk-1, lost")],
    )
    async def test_unknown_node(self, config, file, name, hint):
        """Names that are near, or all of them."""
        await live(file)
        answer = invoke("history", name, "-c", config)

        assert answer.exit_code == 2
        assert answer.output == (
            f"healthd: no node '{name}' in the configuration or in the store; {hint}\n"
        )

    def test_usage(self, config):
        """A time that is none."""
        answer = invoke("history", "hk-1", "-c", config, "--since", "soon")

        assert answer.exit_code == 2
        assert "must be a duration" in answer.output


@pytest.mark.parametrize("command", [("history", "hk-1"), ("sla",)])
class TestTrouble:
    def told(self, command: tuple[str, ...], config: Path) -> Any:
        answer = invoke(*command, "-c", config)
        assert answer.exit_code == 2
        assert USER not in answer.output
        return answer.output

    def test_no_file(self, command, config, file):
        """Nothing was ever written: which file, and what to ask oneself."""
        assert self.told(command, config) == (
            f"healthd: {file}: No such file or directory; "
            "has healthd run with this configuration?\n"
        )

    def test_damaged(self, command, config, file):
        """No database: says so; it is not for a command to set it aside."""
        file.parent.mkdir()
        file.write_bytes(b"nonsense" * 1000)

        assert "file is not a database; move it away" in self.told(command, config)
        assert [each.name for each in file.parent.iterdir()] == [FILE]

    def test_newer(self, command, config, file):
        """A later healthd's file."""
        stage(file)
        change(file, "PRAGMA user_version = 999")

        assert "install the healthd that wrote it" in self.told(command, config)
