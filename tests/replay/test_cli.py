"""`healthd replay`: what it prints, and how it ends."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from healthd.cli import cli, synthetic
from healthd.cli.replay import _replay
from healthd.errors import ReplayError
from healthd.replay.reading import as_line
from healthd.replay.recording import StoreRecording
from healthd.replay.running import Rules
from healthd.replay.table import CELLS, judge_count
from tests.replay.stories import Trace, story, told
from tests.replay.test_recording import write_store
from tests.test_cli import write

TRACE = told(
    story("a", "." * 30),
    story("b", "..xxx" + "." * 25),
    story("c", "..xxxxxx" + "." * 22, begin=1),
)
TRUTH = '{"node": "c", "down_from": 31.5, "down_to": 240}\n'
SET = ("--set", "verdict.fall=3", "--set", "gate.min_nodes=1", "--set", "gate.floor=0")


def invoke(*arguments: object, stdin: str | None = None) -> Result:
    """Run the command alone: one process, wide enough for its tables."""
    words = ["replay", *map(str, arguments)]
    return CliRunner(env={"COLUMNS": "200"}).invoke(cli, words, input=stdin)


@pytest.fixture
def file(tmp_path) -> Path:
    """The results as lines of JSON."""
    return write_file(tmp_path / "results.jsonl", TRACE)


def write_file(path: Path, trace: Trace) -> Path:
    path.write_text("".join(f"{as_line(node, each)}\n" for _, node, each in trace))
    return path


def rows(output: str) -> dict[str, list[str]]:
    """The cells of each line of a table, by its first words."""
    split = [line.split("  ") for line in output.splitlines() if "  " in line.strip()]
    found = [[cell.strip() for cell in cells if cell.strip()] for cells in split]
    return {cells[0]: cells[1:] for cells in found}


def test_side_by_side(file):
    """Both replays and the difference; a node that differs is named with its first difference."""
    result = invoke(file, *SET, "--processes", 1)

    assert result.exit_code == 0
    assert result.output.startswith(f"{file}: 90 results in 0.0 days, 1970-01-01 00:00:00 to ")
    found = rows(result.output)
    assert found["downs"] == ["1", "2", "+1"]
    assert found["minutes down"] == ["2.5", "4.5", "+2.0"]
    assert found["b"] == [
        "never",
        "1 x, 1.5 min",
        "1970-01-01 00:02:00 3 failures in 60 s, changed only",
    ]
    assert "a" not in found


def test_two_processes(file):
    """With a process for each replay the answer is the same."""
    both = [invoke(file, *SET, "--processes", count).output for count in (1, 2)]

    assert both[0] == both[1]


def test_alone(file):
    """Without --set there is one replay, and nothing to compare."""
    result = invoke(file)

    assert result.exit_code == 0
    assert rows(result.output)["downs"] == ["1"]
    assert "difference" not in result.output


def test_nothing_differs(file):
    """When no node fares otherwise, that is said."""
    result = invoke(file, "--set", "verdict.rise=3", "--processes", 1)

    assert "no node was down at another time, or for another reason" in result.output


def test_truth(file, tmp_path):
    """With the truth: false downs, and minutes to find out."""
    truth = tmp_path / "truth.jsonl"
    truth.write_text(TRUTH)

    found = rows(invoke(file, *SET, "--truth", truth, "--processes", 1).output)

    assert found["false downs"] == ["0", "1", "+1"]
    assert found["minutes to DOWN, median"] == ["2.0", "1.5", "-0.5"]


def test_truth_without_outages(file, tmp_path):
    """What cannot be told is a dash for people, and null for programs."""
    truth = tmp_path / "truth.jsonl"
    truth.touch()

    shown = invoke(file, "--truth", truth)
    told_ = json.loads(invoke(file, "--truth", truth, "--json").output)

    assert rows(shown.output)["minutes to DOWN, median"] == ["-"]
    assert told_["configured"]["figures"]["minutes_to_down_median"] is None


def test_json(file):
    """For programs: figures, every down and every publication of both sides."""
    found = json.loads(invoke(file, *SET, "--json", "--processes", 1).output)

    assert (found["recording"], found["results"]) == (str(file), 90)
    assert found["set"] == [*SET[1::2]]
    assert found["configured"]["figures"]["downs"] == 1
    assert found["difference"]["downs"] == 1
    assert found["differing_nodes"] == ["b", "c"]
    assert found["configured"]["downs"] == [
        {
            "node": "c",
            "at": "1970-01-01T00:02:31Z",
            "until": "1970-01-01T00:05:01Z",
            "reason": "refused",
            "evidence": "4 failures in 90 s",
        }
    ]
    assert found["changed"]["publications"][0] == {
        "at": "1970-01-01T00:00:02Z",
        "mode": "normal",
        "nodes": ["a", "b", "c"],
        "removed": [],
    }


def test_json_alone(file):
    """Without --set there is no other side."""
    found = json.loads(invoke(file, "--json").output)

    assert {"changed", "difference", "differing_nodes"}.isdisjoint(found)


def test_standard_input(file):
    """'-' is standard input."""
    result = invoke("-", "--json", stdin=file.read_text())

    assert json.loads(result.output)["results"] == 90


def test_since(file):
    """Only the time before the latest result."""
    result = invoke(file, "--since", "5m", "--json")

    # The latest one began at 871 s.
    assert json.loads(result.output)["began"] == "1970-01-01T00:09:31Z"


def test_configuration(file, tmp_path):
    """A configuration's parameters are the ones that are compared with."""
    config = write(tmp_path, extra="[verdict]\nfall = 3\n")
    found = json.loads(invoke(file, "-c", config, "--json").output)

    assert found["configured"]["figures"]["downs"] == 2


def test_publication(file, tmp_path):
    """The limit is that of the first publication, or of the one that is named."""
    config = write(tmp_path)
    text = config.read_text().replace('name = "users"', 'name = "users"\nlimit = 1')
    config.write_text(f'{text}[[publish]]\nname = "all"\ndirectory = "{tmp_path}/all"\n')

    def first(*arguments: str) -> list[str]:
        told_ = json.loads(invoke(file, "-c", config, "--json", *arguments).output)
        nodes: list[str] = told_["configured"]["publications"][0]["nodes"]
        return nodes

    assert first() == ["a"]
    assert first("--publication", "all") == ["a", "b", "c"]
    wrong = invoke(file, "-c", config, "--publication", "nobody")
    assert wrong.exit_code == 2
    assert "--publication: there is no 'nobody'; there are: users, all" in wrong.output


def test_store(tmp_path):
    """The daemon's own store, where the configuration says that it is."""
    config = write(tmp_path)
    (tmp_path / "state").mkdir()
    write_store(tmp_path / "state" / "healthd.db", *(story(f"n{n}", "..xxxx..") for n in range(3)))

    found = json.loads(invoke("--store", "-c", config, "--json").output)

    assert found["recording"] == f"{tmp_path}/state/healthd.db"
    assert found["configured"]["figures"]["downs"] == 3


@pytest.mark.parametrize("processes", [1, 2])
def test_damaged_store(tmp_path, processes):
    """A block that cannot be read: exit code 2 and where it is, from another process too."""
    config = write(tmp_path)
    (tmp_path / "state").mkdir()
    store = write_store(tmp_path / "state" / "healthd.db", story("a", "...."))
    store.write_bytes(store.read_bytes().replace(b"\x78\x9c", b"\x78\x9d"))

    result = invoke("--store", "-c", config, *SET, "--processes", processes)

    assert result.exit_code == 2
    assert f"healthd: {store}, results of a: not a block of results" in result.output


def test_store_that_vanishes(tmp_path):
    """A store that is gone when a replay begins is told in an error that crosses processes."""
    gone = StoreRecording(tmp_path / "healthd.db", ("a",), 0.0)

    with pytest.raises(ReplayError) as caught:
        _replay(gone, float("-inf"), (), Rules())

    assert caught.value.where == str(gone.path)


def test_no_store(tmp_path):
    """No store: its path, and exit code 2."""
    result = invoke("--store", "-c", write(tmp_path))

    assert result.exit_code == 2
    assert f"{tmp_path}/state/healthd.db" in result.output


def test_bad_line(file):
    """A wrong line: file, line and key."""
    file.write_text(file.read_text() + "{}\n")

    result = invoke(file)

    assert result.exit_code == 2
    assert result.output == f"healthd: {file}:91: node: field required\n"


def test_bad_setting(file):
    """A wrong setting: its key, in the configuration's words."""
    result = invoke(file, "--set", "verdict.fal=3", "--set", "gate.floor=2")

    assert result.exit_code == 2
    assert result.output == (
        "healthd: --set: verdict.fal: unknown key; did you mean 'fall'?\n"
        "healthd: --set: gate.floor: input should be less than or equal to 1\n"
    )


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "give a FILE, or --store, or --synthetic"),
        (["--store", "--synthetic"], "give a FILE, or --store, or --synthetic"),
        (["--synthetic", "--months", "0"], "Invalid value for '--months'"),
        (["--store", "--since", "5"], "must be a duration in quotes"),
        (["--store", "-c", "nowhere.toml"], "nowhere.toml: cannot be read"),
    ],
)
def test_usage(arguments, why):
    """What cannot be meant is refused with exit code 2."""
    result = invoke(*arguments)

    assert result.exit_code == 2
    assert why in result.output


class TestSynthetic:
    """The published figures anew: here with so few months that nothing can be contradicted."""

    def test_tables(self):
        """Both tables, the published one and the simulated one, for both kinds of figures."""
        result = invoke("--synthetic", "--months", 0.002, "--processes", 1)

        assert result.exit_code == 0
        for title in ("false downs per node-month", "median minutes to DOWN"):
            assert f"{title}, published" in result.output
            assert f"{title}, simulated" in result.output
        assert "every published figure lies within the error of both simulations" in result.output
        lines = [line for line in result.output.splitlines() if "4 in a row" in line]
        assert lines[0].split()[-5:] == ["0", "0", "0.05", "0.83", "7.7"]
        assert len(lines) == 4

    def test_json(self):
        """For programs: every figure; a seed gives the same ones in any number of processes."""
        few = ("--synthetic", "--months", 0.002, "--seed", 3, "--json", "--processes")

        one, two = (json.loads(invoke(*few, count).output) for count in (1, 2))

        assert one == two
        assert len(one) == 40
        assert one[3] | {"measured": 0, "low": 0, "high": 0} == {
            "rule": "3 in a row at 30 s",
            "figure": "false downs per node-month",
            "loss_percent": 5.0,
            "published": 9.8,
            "measured": 0,
            "low": 0,
            "high": 0,
            "size": 0.004,
            "contradicts": False,
        }

    @pytest.mark.parametrize(("count", "contradicts"), [(770, False), (2000, True)])
    def test_contradiction(self, capsys, count, contradicts):
        """A figure that is contradicted is named, and makes the exit code 1."""
        found = [judge_count(CELLS[4], count, 10.0)]

        assert synthetic.report(found, as_json=False) is contradicts
        named = "contradicted: 3 in a row at 30 s, false downs per node-month at 10.0% loss"
        assert (named in capsys.readouterr().out) is contradicts
