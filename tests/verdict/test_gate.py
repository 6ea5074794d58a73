"""What users get: one line per case, (health, published before, in or out, why)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.model import Health
from healthd.verdict.gate import Decision, Mode, decide
from tests.builders import nodes

FLEET = nodes(4)
IDS = [node.id for node in FLEET]

ROWS = [
    (Health.UP, True, "in: up"),
    (Health.UP, False, "in: up"),
    (Health.SUSPECT, True, "in: suspect"),
    (Health.SUSPECT, False, "in: suspect"),
    (Health.UNKNOWN, True, "in: unknown yet, published before"),
    (Health.UNKNOWN, False, "out: unknown yet"),
    (Health.DOWN, True, "out: down"),
    (Health.DOWN, False, "out: down"),
    (Health.RECOVERING, True, "out: recovering"),
    (Health.RECOVERING, False, "out: recovering"),
    (Health.INVALID, True, "out: invalid"),
    (Health.INVALID, False, "out: invalid"),
]

fleet_healths = st.fixed_dictionaries({node_id: st.sampled_from(Health) for node_id in IDS})
published_ids = st.sets(st.sampled_from(IDS))


def everyone(health: Health) -> dict[str, Health]:
    return dict.fromkeys(IDS, health)


@pytest.mark.parametrize(("health", "was_in", "why"), ROWS)
def test_each_health(health, was_in, why):
    """UP and SUSPECT are in, UNKNOWN stays as it was, all else is out; each with its reason."""
    last = FLEET[-1]
    decision = decide(
        FLEET,
        everyone(Health.UP) | {last.id: health},
        published=[last.id] if was_in else [],
        first_round_over=True,
    )

    assert decision.nodes is not None
    assert (Mode.NORMAL, why) == (decision.mode, decision.why[last.id])
    assert why.startswith("in: ") == (last in decision.nodes)


def test_table_is_complete():
    """Every health is in the table above, published before or not."""
    assert {(health, was_in) for health in Health for was_in in (True, False)} == {
        (health, was_in) for health, was_in, _ in ROWS
    }


def test_failover_order_is_kept():
    """The nodes come out in the order in which they went in."""
    healths = everyone(Health.UP) | {IDS[1]: Health.DOWN}
    decision = decide(FLEET, healths, published=IDS, first_round_over=True)

    assert (FLEET[0], FLEET[2], FLEET[3]) == decision.nodes


def test_waiting():
    """Until the first round is over nothing is touched, whatever is known already."""
    decision = decide(FLEET, everyone(Health.UP), published=[], first_round_over=False)

    assert Decision(Mode.WAITING, None, dict.fromkeys(IDS, "in: up")) == decision


@pytest.mark.parametrize(
    "health", [h for h in Health if h not in {Health.UP, Health.SUSPECT}], ids=str
)
def test_last_known_good(health):
    """With no node up, what was published stays, byte for byte: never an empty list."""
    decision = decide(FLEET, everyone(health), published=IDS, first_round_over=True)

    assert (decision.mode, decision.nodes) == (Mode.LAST_GOOD, None)
    assert set(IDS) == set(decision.why)


def test_no_nodes():
    """A publication whose tags select nothing is left as it is."""
    assert Decision(Mode.LAST_GOOD) == decide([], {}, published=[], first_round_over=True)


@pytest.mark.parametrize("only", [Health.UP, Health.SUSPECT], ids=str)
def test_one_node_is_enough(only):
    """A single node in service is published alone."""
    healths = everyone(Health.DOWN) | {IDS[2]: only}
    decision = decide(FLEET, healths, published=IDS, first_round_over=True)

    assert (Mode.NORMAL, (FLEET[2],)) == (decision.mode, decision.nodes)


@given(fleet_healths, published_ids, st.booleans())
def test_never_empty(healths, published, over):
    """No decision ever empties a publication, and each node has its reason."""
    decision = decide(FLEET, healths, published=published, first_round_over=over)

    assert decision.nodes is None or len(decision.nodes) > 0
    assert (decision.nodes is not None) == (decision.mode is Mode.NORMAL)
    assert list(decision.why) == IDS


@given(fleet_healths, published_ids)
def test_settled(healths, published):
    """With the same healths, a decision that was published decides the same again."""
    first = decide(FLEET, healths, published=published, first_round_over=True)
    now = published if first.nodes is None else {node.id for node in first.nodes}

    again = decide(FLEET, healths, published=now, first_round_over=True)

    assert (first.mode, first.nodes) == (again.mode, again.nodes)


@given(fleet_healths)
def test_restart_takes_nothing_away(healths):
    """Nodes published last stay while they are unknown again, as long as anyone is up."""
    after = healths | {IDS[0]: Health.UP, IDS[1]: Health.UNKNOWN}
    decision = decide(FLEET, after, published=IDS, first_round_over=True)

    assert decision.nodes is not None
    assert FLEET[1] in decision.nodes
