"""Overrides at work: laid over the board, refused below the floor, kept, and ended in time."""

from types import SimpleNamespace
from typing import Any

import pytest
import structlog
import trio

from healthd.config import GateConfig, PublishConfig, VerdictConfig
from healthd.errors import OverrideError
from healthd.model import AdminMode, Health, success
from healthd.overriding import REPORT_AFTER, Overriding
from healthd.verdict.board import Board
from healthd.verdict.machine import State
from healthd.verdict.overrides import Override
from tests.fakes import make_node

DRAIN, MAINTENANCE = AdminMode.DRAIN, AdminMode.MAINTENANCE
FORCE_UP, FORCE_DOWN = AdminMode.FORCE_UP, AdminMode.FORCE_DOWN


class Stage:
    """Four nodes that work, one publication of all of them, and a store that may fail."""

    def __init__(self, *, ids=("hk-1", "hk-2", "jp-1", "de-1"), limit=0) -> None:
        self.board = Board()
        self.board.replace([make_node(node_id) for node_id in ids], trio.current_time())
        for record in self.board:
            record.state = State(health=Health.UP, since=trio.current_time())
        self.kept: list[tuple[str, ...]] = []
        self.keeps = True
        self.changes = 0
        self.transitions: list[str] = []
        config = PublishConfig(name="users", directory="/srv/x", limit=limit)
        publication: Any = SimpleNamespace(config=config, takes=lambda _: True)
        self.overriding = Overriding(
            self.board,
            publications=lambda: [publication],
            rules=lambda: (GateConfig(), VerdictConfig()),
            keep=self._keep,
            changed=self._changed,
            transition=lambda record, t: self.transitions.append(f"{record.node.id} {t.after}"),
            wall=self.wall,
        )

    def wall(self) -> float:
        return 1_800_000_000.0 + trio.current_time()

    async def _keep(self, laid: tuple[Override, ...]) -> bool:
        self.kept.append(tuple(f"{each.pattern} {each.mode}" for each in laid))
        return self.keeps

    def _changed(self) -> None:
        self.changes += 1

    def modes(self) -> dict[str, str]:
        return {
            record.node.id: record.admin
            for record in self.board
            if record.admin is not AdminMode.ENABLED
        }

    async def lay(self, pattern, mode, *, seconds=None, allow=False):
        expires = None if seconds is None else self.wall() + seconds
        override = Override(
            pattern=pattern,
            mode=mode,
            reason="tests",
            author="me",
            created=self.wall(),
            expires=expires,
        )
        return await self.overriding.lay(override, allow_below_floor=allow)

    async def resume(self, pattern):
        lift = Override(
            pattern=pattern,
            mode=AdminMode.ENABLED,
            reason="tests",
            author="me",
            created=self.wall(),
        )
        return await self.overriding.resume(lift)


@pytest.fixture
async def stage():
    """Everything at work, nothing laid yet."""
    return Stage()


async def test_holds_at_once_and_is_kept(stage):
    """A drain is on the board and in the store before the command is answered."""
    applied = await stage.lay("hk-*", DRAIN)

    assert (applied.nodes, applied.kept) == (("hk-1", "hk-2"), True)
    assert stage.modes() == {"hk-1": DRAIN, "hk-2": DRAIN}
    assert stage.kept == [("hk-* drain",)]
    assert stage.changes == 1


async def test_holds_even_if_it_cannot_be_kept(stage):
    """A broken store does not keep an operator from acting; he is told that it is not kept."""
    stage.keeps = False
    applied = await stage.lay("hk-1", DRAIN)

    assert not applied.kept
    assert stage.modes() == {"hk-1": DRAIN}


async def test_unknown_node(stage):
    """A slip of the finger changes nothing, and near names are offered."""
    with pytest.raises(OverrideError, match="no node matches 'hk1'; did you mean hk-1") as refused:
        await stage.lay("hk1", DRAIN)

    assert not refused.value.below_floor
    assert (stage.modes(), stage.kept) == ({}, [])


@pytest.mark.parametrize("mode", [DRAIN, MAINTENANCE, FORCE_DOWN])
async def test_below_the_floor(stage, mode):
    """What would leave fewer working nodes than the floor is refused, unless insisted on."""
    await stage.lay("hk-*", mode)
    with pytest.raises(
        OverrideError, match="left with 1 working nodes, below its floor of 2"
    ) as no:
        await stage.lay("jp-1", mode)
    assert no.value.below_floor
    assert set(stage.modes()) == {"hk-1", "hk-2"}

    await stage.lay("jp-1", mode, allow=True)

    assert set(stage.modes()) == {"hk-1", "hk-2", "jp-1"}


async def test_dead_nodes_do_not_fill_the_floor(stage):
    """A node that is down is no node that is left."""
    stage.board["de-1"].state = State(health=Health.DOWN, since=0.0)
    await stage.lay("hk-1", DRAIN)

    with pytest.raises(OverrideError, match="left with 1 working"):
        await stage.lay("hk-2", DRAIN)


async def test_taking_out_the_dead_is_always_allowed(stage):
    """An override that takes no working node out breaks nothing, however few there are."""
    for node_id in ("hk-1", "hk-2", "jp-1"):
        stage.board[node_id].state = State(health=Health.DOWN, since=0.0)

    await stage.lay("hk-*", FORCE_DOWN)

    assert set(stage.modes()) == {"hk-1", "hk-2"}


async def test_forcing_up_is_never_below_the_floor(stage):
    """It takes nothing away."""
    await stage.lay("*", FORCE_UP)

    assert set(stage.modes().values()) == {FORCE_UP}


async def test_expires(stage, nursery, autojump_clock):
    """At its second the override ends by itself: board, store and publication follow."""
    nursery.start_soon(stage.overriding.run)
    await stage.lay("hk-1", DRAIN, seconds=7200.0)
    await trio.sleep(7199.0)
    assert stage.modes() == {"hk-1": DRAIN}
    changes = stage.changes

    await trio.sleep(2.0)

    assert stage.modes() == {}
    assert stage.kept[-1] == ()
    assert stage.changes > changes


async def test_resumes_one_of_many(stage):
    """One node is let go, the others of the pattern stay drained."""
    await stage.lay("hk-*", DRAIN)
    applied = await stage.resume("hk-1")

    assert applied.nodes == ("hk-1",)
    assert stage.modes() == {"hk-2": DRAIN}

    await stage.resume("hk-*")

    assert (stage.modes(), stage.overriding.laid) == ({}, ())


async def test_resume_of_a_pattern_without_nodes(stage):
    """An override for nodes that are gone can still be lifted; any other pattern is a slip."""
    await stage.lay("hk-1", DRAIN)
    stage.board.replace([make_node("de-1")], 0.0)

    await stage.resume("hk-1")
    with pytest.raises(OverrideError, match="no node matches 'hk-2'"):
        await stage.resume("hk-2")

    assert stage.overriding.laid == ()


async def test_maintenance_ends_in_requalifying(stage):
    """A node somebody worked on is out until it has risen by the rule."""
    await stage.lay("hk-1", MAINTENANCE)
    health = [stage.board["hk-1"].state.health]

    await stage.resume("hk-1")

    health.append(stage.board["hk-1"].state.health)
    assert stage.transitions == ["hk-1 recovering"]
    for at in (0.0, 10.0, 20.0):
        now = trio.current_time() + at
        stage.board.observe(
            "hk-1", success(0.1), slot=False, began=now, now=now, wall=0.0, rules=VerdictConfig()
        )
        health.append(stage.board["hk-1"].state.health)
    assert health == [Health.UP, *[Health.RECOVERING] * 3, Health.UP]


async def test_takes_up_what_was_kept(stage):
    """After a restart what has not expired holds, and what has is gone."""

    def laid(pattern, mode, expires):
        return Override(
            pattern=pattern, mode=mode, reason="r", author="me", created=0.0, expires=expires
        )

    over = laid("hk-1", DRAIN, stage.wall() - 1)
    holds = laid("hk-2", FORCE_DOWN, stage.wall() + 60)

    stage.overriding.take_up([over, holds])

    assert stage.modes() == {"hk-2": FORCE_DOWN}
    assert stage.overriding.laid == (holds,)


async def test_forced_up_but_down_is_told(stage, nursery, autojump_clock):
    """A node that is down for ten minutes and forced up gives users nothing: told once."""
    nursery.start_soon(stage.overriding.run)
    await stage.lay("hk-1", FORCE_UP, seconds=86400.0)
    now = trio.current_time()
    stage.board["hk-1"].state = State(health=Health.DOWN, since=now, down_since=now)
    with structlog.testing.capture_logs() as logs:
        await trio.sleep(REPORT_AFTER - 60)
        assert logs == []
        await trio.sleep(1000)

    assert [(entry["event"], entry["node"]) for entry in logs] == [("forced_up_but_down", "hk-1")]
