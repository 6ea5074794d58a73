"""Results and truth as lines of JSON."""

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.errors import ReplayError
from healthd.model import Outcome, Reason, Result, failure, success
from healthd.replay.judging import Outage
from healthd.replay.reading import as_line, read_results, read_truth
from healthd.replay.recording import merged
from healthd.verdict.trace import Recorded
from tests.replay.stories import story, told

GOOD = {
    "node": "hk-1",
    "began": 1764000000.0,
    "took": 0.31,
    "outcome": "success",
    "reason": None,
    "latency": 0.24,
    "slot": True,
}


def line(**changes: object) -> bytes:
    return json.dumps(GOOD | changes).encode() + b"\n"


def read(*lines: bytes) -> list[tuple[float, str, Recorded]]:
    return list(merged(read_results("results.jsonl", lines)))


def test_a_line():
    """One line is one result."""
    recorded = Recorded(1764000000.0, 0.31, success(0.24), True)

    assert read(line()) == [(1764000000.0 + 0.31, "hk-1", recorded)]
    assert json.loads(as_line("hk-1", recorded)) == GOOD


def test_what_may_be_left_out():
    """Reason, latency and slot need not be told, and blank lines mean nothing."""
    short = b'{"node": "a", "began": 1, "took": 10, "outcome": "failure"}\n'

    assert read(b"\n", short, b"  \n") == [
        (11.0, "a", Recorded(1.0, 10.0, Result(Outcome.FAILURE), True))
    ]


@given(
    st.sampled_from([success(0.1), Result(Outcome.SUCCESS)])
    | st.builds(failure, st.sampled_from(Reason)),
    st.booleans(),
)
def test_round_trip(result, slot):
    """Every result comes back from its line."""
    recorded = Recorded(5.0, 0.5, result, slot)

    assert read(as_line("a", recorded).encode()) == [(5.5, "a", recorded)]


def test_order():
    """Nodes may be mixed or come one after the other: results are told in the order they came."""
    stories = [story("a", "..x.."), story("b", "x....", begin=7), story("c", "..", begin=31)]
    apart = [as_line(node, each).encode() for one in stories for _, node, each in one]

    assert read(*apart) == told(*stories)


def test_two_of_one_moment():
    """Results of two nodes that came at the same time are both told."""
    both = read(line(node="b"), line(node="a"))

    assert [node for _, node, _ in both] == ["a", "b"]


def test_more_than_a_block():
    """A long file is kept in blocks, and none of it is lost."""
    trace = story("a", "." * 5000)

    assert read(*(as_line(node, each).encode() for _, node, each in trace)) == trace


def test_about_a_file():
    """Whose results there are, in the order of their first lines, and when the latest began."""
    found = read_results("file", [line(node="b"), line(node="a", began=1764000050.0)])

    assert (found.name, found.nodes, found.latest) == ("file", ("b", "a"), 1764000050.0)


def test_since():
    """What began before a moment is left out."""
    found = read_results("file", [line(began=float(n)) for n in range(5)])

    assert [each.began for _, _, each in merged(found, 3.0)] == [3.0, 4.0]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (b"{", "invalid JSON: EOF while parsing an object at line 1 column 1"),
        (b"\xff", "invalid JSON: expected value at line 1 column 1"),
        (b"[]", "input should be an object"),
        (line(node=""), "node: string should have at least 1 character"),
        (line(began="x"), "began: input should be a valid number"),
        (line(began=-1), "began: input should be greater than or equal to 0"),
        (line(took=float("nan")), "took: input should be a finite number"),
        (line(took=None), "took: input should be a valid number"),
        (line(outcome="good"), "outcome: input should be 'success', 'failure' or 'inconclusive'"),
        (line(slot=1), "slot: input should be a valid boolean"),
        (line(latencie=1), "latencie: is unknown here"),
        (b'{"node": "a"}', "began: field required"),
    ],
)
def test_bad_lines(wrong, why):
    """A wrong line: the file, the number of the line, the key, and what is wrong with it."""
    with pytest.raises(ReplayError) as caught:
        read_results("results.jsonl", [line(), b"\n", wrong])

    assert str(caught.value) == f"results.jsonl:3: {why}"


def test_unknown_reason():
    """A reason that there is not is told with those there are."""
    with pytest.raises(ReplayError, match=r"results\.jsonl:1: reason: input should be 'refused', "):
        read(line(reason="tired"))


def test_not_in_order():
    """The lines of one node must be in the order of time."""
    with pytest.raises(ReplayError) as caught:
        read(line(began=10.0), line(node="other", began=1.0), line(began=9.0))

    why = "began: is before that of the node's result above it; sort them by time"
    assert str(caught.value) == f"results.jsonl:3: {why}"


def test_nothing_in_it():
    """A file without results is an error, not a replay of nothing."""
    with pytest.raises(ReplayError, match=r"results\.jsonl: holds no results"):
        read(b"\n")


def test_error_from_another_process():
    """The error can be handed from one process to another, whole."""
    before = ReplayError("file:3", "is wrong")

    after = pickle.loads(pickle.dumps(before))  # noqa: S301 - our own

    assert (str(after), after.where, after.why) == ("file:3: is wrong", "file:3", "is wrong")


class TestTruth:
    LINE = b'{"node": "a", "down_from": 10, "down_to": 20.5}'

    def test_a_line(self):
        """One line is one outage of one node."""
        assert read_truth("truth", [self.LINE, b"\n"], ["a"]) == (Outage("a", 10.0, 20.5),)

    def test_no_outage(self):
        """A truth without lines says that no node was ever dead."""
        assert read_truth("truth", [], ["a"]) == ()

    @pytest.mark.parametrize(
        ("wrong", "why"),
        [
            (b'{"node": "a"}', "down_from: field required"),
            (
                b'{"node": "a", "down_from": 5, "down_to": 5}',
                "down_to must be later than down_from",
            ),
            (b'{"node": "x", "down_from": 5, "down_to": 6}', "node: 'x' has no recorded results"),
        ],
    )
    def test_bad_lines(self, wrong, why):
        """A wrong line is told as one of results is."""
        with pytest.raises(ReplayError) as caught:
            read_truth("truth", [self.LINE, wrong], ["a"])

        assert str(caught.value) == f"truth:2: {why}"
