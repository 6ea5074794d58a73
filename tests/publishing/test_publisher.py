"""One publication: nothing goes live that has not been verified."""

import json

import pytest

from healthd.config import PublishConfig
from healthd.engines.dialect import EngineName
from healthd.errors import EngineFailed, PublishError
from healthd.model import Reason
from healthd.publishing.files import Notes
from healthd.publishing.publisher import Clocks, Outcome, Publication
from healthd.verdict.decision import Decision, Memory, Mode
from tests.builders import node, vless
from tests.fakes import make_node
from tests.publishing.fleets import ENDPOINTS

WALL, MONOTONIC = 1e9, 5000.0
CLOCKS = Clocks(wall=lambda: WALL, monotonic=lambda: MONOTONIC)

A, B = make_node("a", tags=["asia"]), make_node("b")


def publication(tmp_path, answer=None, refuses=(), **config):
    """A publication whose engines give this answer, or refuse what holds one of these words."""
    asked: list[tuple[EngineName, bytes]] = []

    async def ask(engine: EngineName, document: bytes) -> str | None:
        asked.append((engine, document))
        if isinstance(answer, Exception):
            raise answer
        found = [word for word in refuses if word.encode() in document]
        return f"bad {found[0]}" if found else answer

    table = PublishConfig(name="users", directory=tmp_path / "public", **config)
    made = Publication(table, "http://check.test/", ask, CLOCKS)
    made.directory.prepare()
    made.load()
    return made, asked


async def test_published_then_unchanged(tmp_path):
    """The first time it is written; the same again writes nothing and asks nobody."""
    made, asked = publication(tmp_path)
    decision = Decision(mode=Mode.NORMAL, nodes=(A, B), why={"a": "in: up"})
    assert await made.publish(decision) is Outcome.PUBLISHED
    # Xray about the automatic configuration and a single one.
    assert sorted(engine for engine, _ in asked) == ["sing-box", "xray", "xray"]
    assert await made.publish(decision) is Outcome.UNCHANGED
    assert len(asked) == 3
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
    made, _ = publication(tmp_path, answer, formats=("xray",))
    with pytest.raises(PublishError) as refused:
        await made.publish(Decision(mode=Mode.NORMAL, nodes=(A,)))
    assert refused.value.outcome == outcome
    assert refused.value.publication == "users"
    assert made.notes.not_written.keys() == {"xray.json"}  # whoever asks for the status sees it
    assert not (tmp_path / "public" / "xray.json").exists()


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
    made, asked = publication(tmp_path, select=("asia", "more"), formats=("links", "clash"))
    assert (made.takes(A), made.takes(B)) == (True, False)
    await made.publish(Decision(mode=Mode.NORMAL, nodes=(A,)))
    served = {path.name for path in (tmp_path / "public").iterdir() if path.name[0] != "."}
    assert served == {"links.txt", "clash.yaml", "meta.json"}
    assert asked == []


# ---------------------------------------------------------------------------- not every format


FILES = {"links.txt", "clash.yaml", "sing-box.json", "xray.json"}


def read(tmp_path, name):
    return (tmp_path / "public" / name).read_bytes()


def meta(tmp_path):
    return json.loads(read(tmp_path, "meta.json"))


TUIC = node("tuic", endpoint=ENDPOINTS["tuic"])
XHTTP = node("xhttp", endpoint=ENDPOINTS["reality-xhttp"])


async def test_left_out(tmp_path):
    """A node that a format cannot express is in the others, and meta.json says why not here."""
    made, _ = publication(tmp_path)

    assert await made.publish(Decision(mode=Mode.NORMAL, nodes=(A, TUIC, XHTTP))) == "published"

    assert meta(tmp_path)["nodes"] == ["a", "tuic", "xhttp"]
    assert meta(tmp_path)["left_out"] == {
        "sing-box.json": {"xhttp": "sing-box knows no XHTTP"},
        "xray.json": {"tuic": "Xray knows no TUIC"},
    }
    assert meta(tmp_path)["not_written"] == {}
    assert made.notes.left_out == meta(tmp_path)["left_out"]
    assert len(json.loads(read(tmp_path, "xray.json"))) == 3


async def test_below_the_floor_a_format_keeps_what_it_has(tmp_path):
    """Nobody gets a document of too few: the earlier stays to the byte, the others go on."""
    made, _ = publication(tmp_path)
    await made.publish(Decision(mode=Mode.NORMAL, nodes=(A, B), floor=2))
    before = {name: read(tmp_path, name) for name in ("links.txt", "xray.json", "sing-box.json")}

    decision = Decision(mode=Mode.NORMAL, nodes=(A, TUIC), floor=2)
    assert await made.publish(decision) is Outcome.PUBLISHED

    assert read(tmp_path, "xray.json") == before["xray.json"]
    assert read(tmp_path, "links.txt") != before["links.txt"]
    assert b'"tuic"' in read(tmp_path, "sing-box.json")
    words = "it can express only 1 of 2 nodes, fewer than 2: Xray knows no TUIC"
    assert meta(tmp_path)["not_written"] == {"xray.json": words} == made.notes.not_written
    assert await made.publish(decision) is Outcome.UNCHANGED


async def test_below_the_floor_without_an_earlier_one(tmp_path):
    """There is no such document then, and its name leads nowhere."""
    made, _ = publication(tmp_path)

    await made.publish(Decision(mode=Mode.NORMAL, nodes=(TUIC,), floor=1))

    assert not (tmp_path / "public" / "xray.json").is_symlink()
    assert set(meta(tmp_path)["files"]) == {"links.txt", "clash.yaml", "sing-box.json"}
    assert set(meta(tmp_path)["not_written"]) == {"xray.json"}


async def test_above_the_floor_again(tmp_path):
    """What meta.json tells is true again, even if every document is the same as before."""
    made, _ = publication(tmp_path, formats=("links", "xray"))
    await made.publish(Decision(mode=Mode.NORMAL, nodes=(A, TUIC), floor=1))
    document = read(tmp_path, "xray.json")
    await made.publish(Decision(mode=Mode.NORMAL, nodes=(A, TUIC), floor=2))
    assert set(meta(tmp_path)["not_written"]) == {"xray.json"}

    decision = Decision(mode=Mode.NORMAL, nodes=(A, TUIC), floor=1)
    assert await made.publish(decision) is Outcome.PUBLISHED

    assert (meta(tmp_path)["not_written"], read(tmp_path, "xray.json")) == ({}, document)
    again, _ = publication(tmp_path, formats=("links", "xray"))
    assert again.notes == made.notes
    assert await again.publish(decision) is Outcome.UNCHANGED


async def test_node_that_no_format_expresses(tmp_path):
    """It changes no document, but the gate is told that it was published, once."""
    made, _ = publication(tmp_path, formats=("xray",))
    await made.publish(Decision(mode=Mode.NORMAL, nodes=(A,)))
    decision = Decision(mode=Mode.NORMAL, nodes=(A, TUIC))

    assert await made.publish(decision) is Outcome.PUBLISHED
    assert made.memory.published == ("a", "tuic")
    assert await made.publish(decision) is Outcome.UNCHANGED


async def test_no_format_at_all(tmp_path):
    """With nothing to write, what is served stays as it is."""
    made, _ = publication(tmp_path, formats=("xray",))
    await made.publish(Decision(mode=Mode.NORMAL, nodes=(A,)))
    before = read(tmp_path, "meta.json")

    assert await made.publish(Decision(mode=Mode.NORMAL, nodes=(TUIC,))) is Outcome.KEPT

    assert read(tmp_path, "meta.json") == before
    assert set(made.notes.not_written) == {"xray.json"}


async def test_one_node_that_an_engine_refuses(tmp_path):
    """It does not keep the others from users: it is left out of that document, with the words."""
    made, asked = publication(tmp_path, refuses=["192.0.2.66"])
    bad = node("bad", endpoint=vless(address="192.0.2.66"))
    decision = Decision(mode=Mode.NORMAL, nodes=(A, bad, B))

    assert await made.publish(decision) is Outcome.PUBLISHED

    assert meta(tmp_path)["left_out"] == {
        "sing-box.json": {"bad": "sing-box refuses it: bad 192.0.2.66"},
        "xray.json": {"bad": "Xray refuses it: bad 192.0.2.66"},
    }
    assert b"192.0.2.66" in read(tmp_path, "clash.yaml")
    assert b"192.0.2.66" not in read(tmp_path, "xray.json")
    asked.clear()
    assert await made.publish(decision) is Outcome.UNCHANGED
    assert asked == []


async def test_refused_for_no_node(tmp_path):
    """A document that is refused though each part of it is taken must not go live."""
    made, _ = publication(tmp_path, formats=("sing-box",))
    ask = made.ask

    async def picky(engine: EngineName, document: bytes) -> str | None:
        await ask(engine, document)
        return "too long" if len(json.loads(document)["outbounds"]) > 4 else None

    made.ask = picky
    with pytest.raises(PublishError, match=r"sing-box\.json is refused by sing-box: too long"):
        await made.publish(Decision(mode=Mode.NORMAL, nodes=(A, B)))


# ---------------------------------------------------------------------------- a format at fault

FAULTS = [
    ("unknown field", Outcome.REFUSED, "sing-box.json is refused by sing-box: unknown field"),
    (
        EngineFailed(Reason.SPAWN, "no sing-box"),
        Outcome.FAILED,
        "sing-box cannot be asked about it: spawn: no sing-box",
    ),
]


def only_sing_box(made, answer):
    """From now on sing-box gives this answer; Xray takes everything."""

    async def ask(engine: EngineName, _: bytes) -> str | None:
        if engine is EngineName.SING_BOX and isinstance(answer, Exception):
            raise answer
        return answer if engine is EngineName.SING_BOX else None

    made.ask = ask


@pytest.mark.parametrize(("answer", "outcome", "words"), FAULTS)
async def test_fault_of_one_format_holds_up_no_other(tmp_path, answer, outcome, words):
    """It keeps what it has to the byte, and meta.json says why; the others go live, once."""
    made, _ = publication(tmp_path)
    await made.publish(Decision(mode=Mode.NORMAL, nodes=(A, B)))
    before = {name: read(tmp_path, name) for name in FILES}
    only_sing_box(made, answer)
    decision = Decision(mode=Mode.NORMAL, nodes=(A,))

    assert await made.publish(decision) is Outcome.PUBLISHED

    changed = {name for name in FILES if read(tmp_path, name) != before[name]}
    assert changed == {"links.txt", "clash.yaml", "xray.json"}
    assert meta(tmp_path)["not_written"] == {"sing-box.json": words} == made.notes.not_written
    assert (made.fault, made.judged.faults) == (outcome, {"sing-box.json": words})
    assert await made.publish(decision) is Outcome.UNCHANGED  # asked again, written nothing
    assert (meta(tmp_path)["generation"], made.fault) == (2, outcome)


async def test_fault_that_is_over(tmp_path):
    """The next attempt writes the format, though no node has changed."""
    made, _ = publication(tmp_path)
    only_sing_box(made, "unknown field")
    decision = Decision(mode=Mode.NORMAL, nodes=(A,))
    await made.publish(decision)
    assert not (tmp_path / "public" / "sing-box.json").is_symlink()  # there was no earlier one
    assert set(meta(tmp_path)["files"]) == FILES - {"sing-box.json"}

    only_sing_box(made, None)
    assert await made.publish(decision) is Outcome.PUBLISHED

    assert set(meta(tmp_path)["files"]) == FILES
    assert (meta(tmp_path)["not_written"], made.fault) == ({}, None)
    assert await made.publish(decision) is Outcome.UNCHANGED


async def test_fault_that_is_over_with_the_nodes_of_before(tmp_path):
    """When what is served is right again, the fault is forgotten."""
    made, _ = publication(tmp_path, formats=("sing-box",))
    await made.publish(Decision(mode=Mode.NORMAL, nodes=(A, B)))
    only_sing_box(made, "unknown field")
    with pytest.raises(PublishError):
        await made.publish(Decision(mode=Mode.NORMAL, nodes=(A,)))

    assert await made.publish(Decision(mode=Mode.NORMAL, nodes=(A, B))) is Outcome.UNCHANGED
    assert (made.fault, made.notes.not_written) == (None, {})


async def test_a_bad_node_and_a_fault_at_once(tmp_path):
    """Xray refuses a node, sing-box everything: each in its place."""
    made, _ = publication(tmp_path)

    async def ask(engine: EngineName, document: bytes) -> str | None:
        if engine is EngineName.SING_BOX:
            return "unknown field"
        return "bad" if b"192.0.2.66" in document else None

    made.ask = ask
    bad = node("bad", endpoint=vless(address="192.0.2.66"))
    assert await made.publish(Decision(mode=Mode.NORMAL, nodes=(A, bad))) is Outcome.PUBLISHED

    assert meta(tmp_path)["left_out"] == {"xray.json": {"bad": "Xray refuses it: bad"}}
    assert meta(tmp_path)["not_written"].keys() == {"sing-box.json"}
    assert b"192.0.2.66" not in read(tmp_path, "xray.json")


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
    made, _ = publication(tmp_path, "refused by the engine", formats=("xray",))
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

    told = meta(tmp_path)
    assert told["why"] == decision.why
    assert (told["mode"], told["eligible"], told["in_service"], told["floor"], told["held"]) == (
        Mode.NORMAL,
        2,
        1,
        1,
        ["a"],
    )


@pytest.mark.parametrize("meta", [b"{", b"[]", b'{"left_out": 1}', b"\xff"])
async def test_meta_that_is_of_no_use(tmp_path, meta):
    """Whatever became of meta.json, the next publication mends it."""
    made, _ = publication(tmp_path)
    decision = Decision(mode=Mode.NORMAL, nodes=(A,))
    await made.publish(decision)
    (tmp_path / "public" / ".current" / "meta.json").write_bytes(meta)

    again, _ = publication(tmp_path)

    assert again.notes == Notes()
    assert await again.publish(decision) in {Outcome.PUBLISHED, Outcome.UNCHANGED}
