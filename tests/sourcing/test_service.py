"""Sources over time: what is in force, what is refused, and when it is asked again."""

from collections.abc import Iterable
from itertools import pairwise

import pytest
import structlog
import trio

from healthd.errors import SourceError
from healthd.model import Role
from healthd.sourcing.service import RETRY, Sources
from healthd.sourcing.status import Fetch
from tests.builders import node, vless
from tests.sourcing.stage import WALL, Stage, body, source

HTML = b"<!DOCTYPE html><html><body>502</body></html>"


@pytest.fixture
def stage(nursery, autojump_clock, tmp_path) -> Stage:
    """Nothing asked yet."""
    return Stage(nursery, tmp_path)


@pytest.fixture
def told() -> Iterable[list[structlog.typing.EventDict]]:
    """What is logged."""
    with structlog.testing.capture_logs() as events:
        yield events


def events(told, *wanted: str) -> list[str]:
    """The names of the events, those about trouble only unless others are named."""
    bad = wanted or ("source_failed", "source_refused", "source_recovered", "source_not_kept")
    return [each["event"] for each in told if each["event"] in bad]


class TestGoodAnswers:
    async def test_first_answer(self, stage, autojump_clock):
        """What a source says is in the fleet at once, with the source's role and tags."""
        stage.say(body(1, 2))
        await stage.run(source(role="primary", tags=["paid"], id_prefix="x-"))
        await stage.until(1)

        first, second = stage.sources.join([node("own", endpoint=vless(address="192.0.2.9"))])[:2]
        assert (first.name, second.name) == ("node 1", "node 2")
        assert first.id.startswith("x-")
        assert (first.role, first.tags) == (Role.PRIMARY, frozenset({"paid"}))
        assert stage.changes == 1

    async def test_same_answer_changes_nothing(self, stage, autojump_clock):
        """Neither the same body nor a 304 is news; both say that all is well."""
        stage.say(body(1, 2), etag='"one"')
        await stage.run(source())
        await stage.until(700)
        stage.say(None)
        await stage.until(2000)

        assert stage.changes == 1
        (status,) = stage.sources.statuses()
        assert status.ok
        assert status.fetches[Fetch.CHANGED] == 1
        assert status.fetches[Fetch.UNCHANGED] == len(stage.asked) - 1 >= 6
        assert stage.wall() - status.last_success <= 300
        assert [etag for _, _, etag in stage.asked] == ["", *['"one"'] * (len(stage.asked) - 1)]

    async def test_no_mark_on_what_follows(self, stage, autojump_clock):
        """What a change sets off, such as nodes' tasks, is not logged as this source's."""
        stage.say(body(1))
        await stage.run(source())
        await stage.until(1)

        assert (stage.changes, stage.context) == (1, {})

    async def test_new_nodes(self, stage, autojump_clock):
        """Another body is taken up: who is new comes, who is gone goes, the others stay."""
        stage.say(body(1, 2, 3))
        await stage.run(source())
        await stage.until(1)
        before = stage.ids()
        stage.say(body(2, 3, 4))
        await stage.until(400)

        assert stage.names() == ["node 2", "node 3", "node 4"]
        assert stage.ids()[:2] == before[1:]
        assert stage.changes == 2

    async def test_order_and_names_keep_ids(self, stage, autojump_clock):
        """A panel that renames and reorders its nodes changes neither."""
        stage.say(body(1, 2, 3))
        await stage.run(source())
        await stage.until(1)
        before = stage.ids()
        stage.say(body(3, 2, 1, names=["c", "b", "a"]))
        await stage.until(400)

        assert stage.names() == ["c", "b", "a"]
        assert stage.ids() == before[::-1]

    async def test_twins(self, stage, autojump_clock):
        """A node that is configured already is not there twice, and counted as a duplicate."""
        stage.say(body(1, 2))
        await stage.run(source())
        await stage.until(1)
        own = node("own", endpoint=vless(address="192.0.2.1"))

        assert [each.name for each in stage.sources.join([own])] == ["own", "node 2"]
        (status,) = stage.sources.statuses()
        assert (status.nodes, status.entries["taken"], status.entries["duplicate"]) == (1, 1, 1)

    async def test_bad_entries_are_counted(self, stage, autojump_clock):
        """What cannot be used costs nothing but itself, and is shown, a few of them."""
        stage.say(body(1) + b"\nvless://broken" * 9)
        await stage.run(source())
        await stage.until(1)

        (status,) = stage.sources.statuses()
        assert status.ok
        assert (status.entries["taken"], status.entries["malformed"]) == (1, 9)
        assert len(status.left_out) == 5
        assert status.left_out[0].where == "line 2"


class TestRefusals:
    @pytest.mark.parametrize(
        "answer", [b"", b"\n", HTML, body(1, 2), body(*range(1, 30)), b"\xff\x00"]
    )
    async def test_last_good_stays(self, stage, autojump_clock, told, answer):
        """Empty, a web page, half gone, too many, garbage: the last good answer stays in force."""
        stage.say(body(1, 2, 3, 4, 5, 6))
        await stage.run(source(max_nodes=20))
        await stage.until(1)
        before = stage.ids()
        stage.say(answer)
        await stage.until(2000)

        assert stage.ids() == before
        assert stage.changes == 1
        (status,) = stage.sources.statuses()
        assert not status.ok
        assert status.fetches[Fetch.REFUSED] >= 20
        # Told once, however often it came.
        assert events(told) == ["source_refused"]
        (told_once,) = (each for each in told if each["event"] == "source_refused")
        assert told_once["log_level"] == "error"
        assert (told_once["why"], told_once["nodes_kept"]) == (status.why, 6)
        assert "SECRET" not in str(told)

    async def test_fault_of_the_fetcher(self, stage, autojump_clock, told):
        """A fault of ours ends nothing: the last good answer stays, the next good one is taken."""
        stage.say(body(1, 2))
        await stage.run(source())
        await stage.until(1)
        stage.says["panel"] = KeyError("SECRET")
        await stage.until(400)

        (status,) = stage.sources.statuses()
        assert status.why.startswith("healthd itself failed to ask it (KeyError at stage.py:")
        assert status.nodes == 2
        stage.say(body(1, 2, 3))
        await stage.until(800)
        assert stage.names() == ["node 1", "node 2", "node 3"]
        assert events(told) == ["source_failed", "source_recovered"]
        assert "SECRET" not in str(told)

    async def test_recovery(self, stage, autojump_clock, told):
        """A good answer ends the trouble, and that is told as well."""
        stage.say(body(1, 2, 3, 4))
        await stage.run(source())
        await stage.until(1)
        stage.say(HTML)
        await stage.until(400)
        stage.say(body(1, 2, 3, 4))
        await stage.until(600)

        assert events(told) == ["source_refused", "source_recovered"]
        assert stage.sources.statuses()[0].ok
        assert stage.changes == 1

    async def test_other_trouble_is_told(self, stage, autojump_clock, told):
        """Trouble of another kind is news; the same again is not."""
        stage.say("panel.example.com: Connection refused")
        await stage.run(source())
        await stage.until(300)
        stage.say("panel.example.com: no whole answer in 20 s")
        await stage.until(600)
        stage.say(HTML)
        await stage.until(900)

        assert events(told) == ["source_failed", "source_failed", "source_refused"]
        assert [each["log_level"] for each in told if each["event"] == "source_failed"] == [
            "warning",
            "warning",
        ]

    async def test_asked_again_soon(self, stage, autojump_clock):
        """A source that fails is asked again after a minute, not after its whole refresh."""
        stage.say("down")
        await stage.run(source(refresh="1h"))
        await stage.until(3 * RETRY + 1)

        assert stage.times() == [0, 60, 120, 180]

    async def test_short_refresh(self, stage, autojump_clock):
        """Nor later than at its refresh, when that is shorter."""
        stage.say("down")
        await stage.run(source(refresh="10s"))
        await stage.until(31)

        assert stage.times() == [0, 10, 20, 30]


class TestAccepting:
    async def test_shrunken_answer(self, stage, autojump_clock, told):
        """The operator's word takes what was refused, at once; its size is the new measure."""
        stage.say(body(1, 2, 3, 4, 5, 6, 7, 8))
        await stage.run(source())
        await stage.until(1)
        stage.say(body(1, 2, 3))
        await stage.until(400)
        assert "healthd source accept panel" in stage.sources.statuses()[0].why
        assert stage.sources.statuses()[0].acceptable

        assert await stage.sources.accept("panel", "alice") == (8, 3)

        assert stage.names() == ["node 1", "node 2", "node 3"]
        assert stage.sources.statuses()[0].ok
        assert stage.changes == 2
        assert events(told, "source_accepted", "source_recovered") == [
            "source_accepted",
            "source_recovered",
        ]
        # Measured by eight nodes, two would be refused again; by three, they are not.
        stage.say(body(1, 2))
        await stage.until(1000)
        assert stage.names() == ["node 1", "node 2"]

    async def test_still_there_when_the_panel_died(self, stage, autojump_clock):
        """What was refused can be accepted when the panel does not answer any more."""
        stage.say(body(1, 2, 3, 4, 5, 6, 7, 8))
        await stage.run(source())
        await stage.until(1)
        stage.say(body(1, 2, 3))
        await stage.until(400)
        stage.say("down")
        await stage.until(500)

        assert await stage.sources.accept("panel", "alice") == (8, 3)

    @pytest.mark.parametrize("answer", [b"", HTML])
    async def test_nothing_usable(self, stage, autojump_clock, answer):
        """There is no accepting of what holds no node."""
        stage.say(body(1, 2))
        await stage.run(source())
        await stage.until(1)
        stage.say(answer)
        await stage.until(400)

        with pytest.raises(SourceError, match="there is nothing to accept"):
            await stage.sources.accept("panel", "alice")
        assert not stage.sources.statuses()[0].acceptable
        assert stage.names() == ["node 1", "node 2"]

    async def test_too_many(self, stage, autojump_clock):
        """Nor of more nodes than the limit allows: the mend is another one, and is told."""
        stage.say(body(1, 2))
        await stage.run(source(max_nodes=2))
        await stage.until(1)
        stage.say(body(1, 2, 3))
        await stage.until(400)

        with pytest.raises(SourceError, match=r"nothing to accept: .* max_nodes = 2; raise it"):
            await stage.sources.accept("panel", "alice")

    async def test_nothing_refused(self, stage, autojump_clock):
        """Nor of what is in force already."""
        stage.say(body(1))
        await stage.run(source())
        await stage.until(1)

        with pytest.raises(SourceError, match="no answer was refused: nothing to accept"):
            await stage.sources.accept("panel", "alice")

    async def test_no_such_source(self, stage, autojump_clock):
        """A name that is not in the configuration is told, with the one that was meant."""
        stage.say(body(1))
        await stage.run(source())

        with pytest.raises(SourceError, match="did you mean 'panel'"):
            await stage.sources.accept("pannel", "alice")
        with pytest.raises(SourceError, match="healthd source list"):
            await stage.sources.accept("x", "alice")


class TestSchedule:
    async def test_grid(self, stage, autojump_clock):
        """At once at first; then each at its own place in the interval, to which it keeps."""
        stage.takes = 7.0
        for name in ("a", "b"):
            stage.say(body(1), name)
        await stage.run(source("a"), source("b"))
        await stage.until(2000)

        first, second = stage.times("a"), stage.times("b")
        assert first[0] == second[0] == 0
        for times in (first, second):
            gaps = [later - sooner for sooner, later in pairwise(times[1:])]
            assert gaps == pytest.approx([300] * len(gaps))
            assert len(gaps) >= 4
        assert first[1] % 300 != pytest.approx(second[1] % 300)


class TestRestart:
    async def test_dead_panel(self, stage, autojump_clock, tmp_path):
        """What a run knew, the next one knows before it asks anybody."""
        stage.say(body(1, 2, 3), etag='"one"')
        await stage.run(source())
        await stage.until(1)
        async with trio.open_nursery() as nursery:
            again = Stage(nursery, tmp_path)
            again.say("down")
            await again.sources.recall([source()])
            assert again.ids() == stage.ids()
            assert again.sources.all_known()
            (status,) = again.sources.statuses()
            assert (status.why, status.nodes) == ("has not been asked yet", 3)
            assert status.last_success == WALL + stage.began
            again.sources.start()
            await again.until(500)
            assert again.ids() == stage.ids()
            assert again.changes == 0
            assert again.asked[0][2] == '"one"'
            nursery.cancel_scope.cancel()

    async def test_guard_measures_by_it(self, stage, autojump_clock, tmp_path):
        """A restart is no way around the guard."""
        stage.say(body(1, 2, 3, 4, 5, 6))
        await stage.run(source())
        await stage.until(1)
        async with trio.open_nursery() as nursery:
            again = Stage(nursery, tmp_path)
            again.say(body(1))
            await again.run(source())
            await again.until(1)
            assert len(again.ids()) == 6
            nursery.cancel_scope.cancel()

    async def test_accepted_is_kept(self, stage, autojump_clock, tmp_path):
        """What was accepted holds in the next run."""
        stage.say(body(1, 2, 3, 4, 5, 6))
        await stage.run(source())
        await stage.until(1)
        stage.say(body(1))
        await stage.until(400)
        await stage.sources.accept("panel", "alice")

        again = Stage(None, tmp_path)
        await again.sources.recall([source()])
        assert again.names() == ["node 1"]

    async def test_lower_limit(self, stage, autojump_clock, tmp_path):
        """A lower max_nodes is for new answers: it takes nothing away."""
        stage.say(body(1, 2, 3))
        await stage.run(source())
        await stage.until(1)

        again = Stage(None, tmp_path)
        await again.sources.recall([source(max_nodes=2)])
        assert len(again.ids()) == 3

    @pytest.mark.parametrize("written", [b"", b"rubbish\n"])
    async def test_damaged(self, stage, autojump_clock, tmp_path, told, written):
        """What cannot be read is told and left; the panel is asked as if for the first time."""
        (tmp_path / "sources").mkdir()
        (tmp_path / "sources" / "panel.kept").write_bytes(written)
        stage.say(body(1))
        await stage.sources.recall([source()])
        assert events(told, "source_not_recalled") == ["source_not_recalled"]
        assert not stage.sources.all_known()
        stage.sources.start()
        await stage.until(1)

        assert stage.names() == ["node 1"]

    async def test_other_origin(self, stage, autojump_clock, tmp_path):
        """Nodes outlive a change of URL; the ETag of another server does not."""
        stage.say(body(1, 2, 3), etag='"one"')
        await stage.run(source())
        await stage.until(1)
        async with trio.open_nursery() as nursery:
            again = Stage(nursery, tmp_path)
            again.say(body(1, 2, 3))
            await again.run(source(url="https://other.example.com/SECRET"))
            await again.until(1)
            assert again.asked[0][2] == ""
            assert len(again.ids()) == 3
            nursery.cancel_scope.cancel()

    async def test_disk_full(self, stage, autojump_clock, tmp_path, told):
        """What cannot be kept is in force all the same, told once, and kept when that works."""
        (tmp_path / "sources").write_bytes(b"in the way")
        stage.say(body(1))
        await stage.run(source())
        await stage.until(1000)
        assert stage.names() == ["node 1"]
        assert events(told) == ["source_not_kept"]
        (tmp_path / "sources").unlink()
        await stage.until(1400)

        again = Stage(None, tmp_path)
        await again.sources.recall([source()])
        assert again.names() == ["node 1"]

    async def test_what_cannot_be_removed(self, stage, autojump_clock, tmp_path, told):
        """An answer of a source that left, and that cannot be removed, holds nobody up."""
        (tmp_path / "sources" / "other.kept").mkdir(parents=True)
        stage.say(body(1))
        await stage.run(source())
        await stage.until(1)

        assert stage.names() == ["node 1"]
        assert events(told, "sources_not_cleared") == ["sources_not_cleared"]

    async def test_same_from_elsewhere(self, stage, autojump_clock):
        """A URL that changed and gives the same body is the one whose ETag counts from then on."""
        stage.say(body(1), etag='"one"')
        await stage.run(source())
        await stage.until(1)
        stage.say(body(1), etag='"two"')
        stage.sources.apply([source(url="https://other.example.com/SECRET")])
        await stage.until(400)

        assert [etag for _, _, etag in stage.asked] == ["", "", '"two"']
        assert stage.changes == 1


class TestKnown:
    async def test_all_known(self, stage, autojump_clock):
        """All are known when each gave its nodes, or failed to: then nobody waits for more."""
        stage.takes = 5
        stage.say(body(1), "a")
        stage.say("down", "b")
        await stage.run(source("a"), source("b"))
        assert not stage.sources.all_known()
        await stage.until(6)

        assert stage.sources.all_known()

    async def test_no_sources(self, stage, autojump_clock):
        """Without sources there is nothing to wait for."""
        await stage.run()

        assert stage.sources.all_known()
        assert stage.sources.statuses() == []


class TestReload:
    async def test_by_difference(self, stage, autojump_clock, tmp_path):
        """One that is new is asked at once, one that left leaves nothing, the others go on."""
        for number, name in enumerate(("a", "b", "c"), 1):
            stage.say(body(number), name)
        await stage.run(source("a"), source("b"))
        await stage.until(10)
        stage.sources.apply([source("b"), source("c")])
        await stage.until(11)

        assert stage.names() == ["node 2", "node 3"]
        assert (stage.times("b"), stage.times("c")) == ([0], [10])
        kept = sorted(path.name for path in (tmp_path / "sources").iterdir())
        assert kept == ["b.kept", "c.kept"]
        assert [status.name for status in stage.sources.statuses()] == ["b", "c"]

    async def test_changed(self, stage, autojump_clock):
        """One that changed keeps its nodes, with their new role and tags, and is asked at once."""
        stage.say(body(1, 2))
        await stage.run(source())
        await stage.until(10)
        stage.say("down")
        stage.sources.apply([source(url="https://other.example.com/", tags=["new"])])
        assert [each.tags for each in stage.sources.join(())] == [frozenset({"new"})] * 2
        await stage.until(11)

        assert stage.times() == [0, 10]
        assert stage.names() == ["node 1", "node 2"]

    async def test_raised_limit(self, stage, autojump_clock):
        """The mend of a refusal works: the same answer is looked at again."""
        stage.say(body(1, 2, 3))
        await stage.run(source(max_nodes=2))
        await stage.until(10)
        assert stage.names() == []
        stage.sources.apply([source(max_nodes=3)])
        await stage.until(11)

        assert len(stage.names()) == 3

    async def test_left_while_it_answered(self, stage, autojump_clock, tmp_path):
        """Even if its answer is being written at this moment, nothing of it is left."""
        blocked, go = trio.Event(), trio.Event()

        async def beside(work):
            blocked.set()
            with trio.CancelScope(shield=True):  # as a thread that is waited for
                await go.wait()
            return work()

        async def fetch(_config, _etag):
            return stage.says["panel"]

        stage.say(body(1))
        async with trio.open_nursery() as nursery:
            sources = Sources(
                nursery, fetch, stage.shelf, changed=lambda: None, wall=stage.wall, beside=beside
            )
            sources.apply([source()])
            await blocked.wait()
            sources.apply([])
            await trio.testing.wait_all_tasks_blocked()
            go.set()
        assert list((tmp_path / "sources").glob("*.kept")) == []

    async def test_order(self, stage, autojump_clock):
        """The order of the sources is that of their nodes."""
        for number, name in enumerate(("a", "b"), 1):
            stage.say(body(number), name)
        await stage.run(source("a"), source("b"))
        await stage.until(1)
        stage.sources.apply([source("b"), source("a")])

        assert stage.names() == ["node 2", "node 1"]
        assert stage.times("a") == [0]
