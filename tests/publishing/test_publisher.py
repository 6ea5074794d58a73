"""One publication: nothing goes live that has not been verified."""

import json

import pytest

from healthd.config import PublishConfig
from healthd.errors import EngineFailed, PublishError
from healthd.model import Reason
from healthd.publishing.publisher import Clocks, Outcome, Publication
from healthd.verdict.decision import Decision, Memory, Mode
from tests.fakes import make_node

WALL, MONOTONIC = 1e9, 5000.0
CLOCKS = Clocks(wall=lambda: WALL, monotonic=lambda: MONOTONIC)

A, B = make_node("a", tags=["asia"]), make_node("b")


def publication(tmp_path, answer=None, **config):
    """A publication whose engine gives this answer."""
    asked: list[bytes] = []

    async def check(document: bytes) -> str | None:
        asked.append(document)
        if isinstance(answer, Exception):
            raise answer
        return answer

    table = PublishConfig(name="users", directory=tmp_path / "public", **config)
    made = Publication(table, "http://check.test/", check, CLOCKS)
    made.directory.prepare()
    made.load()
    return made, asked


async def test_published_then_unchanged(tmp_path):
    """The first time it is written; the same again writes nothing and asks nobody."""
    made, asked = publication(tmp_path)
    decision = Decision(mode=Mode.NORMAL, nodes=(A, B), why={"a": "in: up"})
    assert await made.publish(decision) is Outcome.PUBLISHED
    assert len(asked) == 2  # the automatic configuration and a single one
    assert await made.publish(decision) is Outcome.UNCHANGED
    assert len(asked) == 2
    assert made.published is not None
    assert (made.published.generation, made.published.nodes) == (1, ("a", "b"))
    # A new daemon takes up what is served.
    again, _ = publication(tmp_path)
    assert again.published == made.published
    assert await again.publish(decision) is Outcome.UNCHANGED


@pytest.mark.parametrize("nodes", [None, ()])
async def test_nothing_to_publish_keeps_what_is_there(tmp_path, nodes):
    """No decision, or no node: never an empty file."""
    made, _ = publication(tmp_path)
    await made.publish(Decision(mode=Mode.NORMAL, nodes=(A,)))
    served = (tmp_path / "public" / "links.txt").read_bytes()
    assert await made.publish(Decision(mode=Mode.LAST_GOOD, nodes=nodes)) is Outcome.KEPT
    assert (tmp_path / "public" / "links.txt").read_bytes() == served


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("Failed to start: unknown field", Outcome.REFUSED),
        (EngineFailed(Reason.SPAWN, "no xray"), Outcome.FAILED),
    ],
)
async def test_unverified_is_not_published(tmp_path, answer, outcome):
    """A document that the engine refuses, or cannot be asked about, stays out."""
    made, _ = publication(tmp_path, answer)
    with pytest.raises(PublishError) as refused:
        await made.publish(Decision(mode=Mode.NORMAL, nodes=(A,)))
    assert refused.value.outcome == outcome
    assert refused.value.publication == "users"
    assert not (tmp_path / "public" / "links.txt").exists()


async def test_write_failure_names_the_path(tmp_path):
    """What cannot be written is told with its path."""
    made, _ = publication(tmp_path)
    (tmp_path / "public" / ".generations").rmdir()
    (tmp_path / "public" / ".generations").write_text("in the way")
    with pytest.raises(PublishError) as failed:
        await made.publish(Decision(mode=Mode.NORMAL, nodes=(A,)))
    assert failed.value.outcome == Outcome.FAILED
    assert str(tmp_path / "public") in failed.value.why


async def test_selection_and_formats(tmp_path):
    """`select` takes nodes with one of its tags; only the formats asked for are written."""
    made, asked = publication(tmp_path, select=("asia", "more"), formats=("links",))
    assert (made.takes(A), made.takes(B)) == (True, False)
    await made.publish(Decision(mode=Mode.NORMAL, nodes=(A,)))
    assert not (tmp_path / "public" / "xray.json").exists()
    assert asked == []


async def test_what_is_served_is_known_again_after_a_failure_behind_the_flip(tmp_path):
    """When the flip was made but the round failed, the next one takes up what is served."""
    made, _ = publication(tmp_path)
    other, _ = publication(tmp_path)
    decision = Decision(mode=Mode.NORMAL, nodes=(A, B))
    await other.publish(decision)
    assert made.published is None
    assert await made.publish(decision) is Outcome.UNCHANGED
    assert made.published == other.published


async def test_the_brake_outlives_the_daemon(tmp_path):
    """What was removed, and when, is read back with the files it was removed from."""
    made, _ = publication(tmp_path)
    memory = Memory(removals=(MONOTONIC - 100.0,), panic=True)
    decision = Decision(mode=Mode.TOP_UP, nodes=(A,), removes=("b", "c"), memory=memory)

    await made.publish(decision)
    again, _ = publication(tmp_path)

    expected = Memory(("a",), (MONOTONIC - 100.0, MONOTONIC, MONOTONIC), panic=True)
    assert (expected, expected) == (made.memory, again.memory)


async def test_nothing_published_nothing_remembered(tmp_path):
    """A decision that is not carried out costs the brake nothing."""
    made, _ = publication(tmp_path, "refused by the engine")
    with pytest.raises(PublishError):
        await made.publish(Decision(mode=Mode.NORMAL, nodes=(A,), removes=("b",)))

    assert made.memory == Memory()


def test_clock_that_went_back_makes_no_future():
    """A removal that seems to lie ahead was just now: the brake holds too long, never too short."""
    assert CLOCKS.to_monotonic(WALL - 10) == MONOTONIC - 10
    assert CLOCKS.to_monotonic(WALL + 1000) == MONOTONIC


async def test_meta_explains_the_decision(tmp_path):
    """Why each node is in or out, and how the floor stands, is served beside the files."""
    made, _ = publication(tmp_path)
    decision = Decision(
        mode=Mode.NORMAL,
        nodes=(A,),
        why={"a": "in: up", "b": "out: down"},
        eligible=2,
        floor=1,
        in_service=1,
        held=("a",),
    )
    await made.publish(decision)

    meta = json.loads((tmp_path / "public" / "meta.json").read_bytes())
    assert meta["why"] == decision.why
    assert (meta["mode"], meta["eligible"], meta["in_service"], meta["floor"], meta["held"]) == (
        Mode.NORMAL,
        2,
        1,
        1,
        ["a"],
    )
