"""The metrics of sources: there from the start, and gone with their source."""

from prometheus_client import CollectorRegistry, generate_latest

from healthd.observing.sources import SourceCollector
from healthd.sourcing.status import Fetch, Status


def rendered(statuses) -> set[str]:
    """The samples of these statuses."""
    registry = CollectorRegistry()
    registry.register(SourceCollector(lambda: statuses))
    lines = generate_latest(registry).decode().splitlines()
    return {line for line in lines if not line.startswith("#")}


def test_from_the_start():
    """A source that was never asked has all its series, at zero."""
    never = Status(name="panel", where="x", why="has not been asked yet")

    assert rendered([never]) == {
        'healthd_source_ok{source="panel"} 0.0',
        'healthd_source_nodes{source="panel"} 0.0',
        'healthd_source_last_success_timestamp_seconds{source="panel"} 0.0',
        *(
            f'healthd_source_entries{{outcome="{each}",source="panel"}} 0.0'
            for each in ("taken", "duplicate", "unsupported", "malformed")
        ),
        *(
            f'healthd_source_fetches_total{{outcome="{each}",source="panel"}} 0.0'
            for each in ("changed", "unchanged", "refused", "failed")
        ),
    }


def test_values():
    """What is in force, and what became of the attempts."""
    good = Status(
        name="panel",
        where="x",
        last_success=1_800_000_000.0,
        nodes=3,
        entries={"taken": 3, "malformed": 1},
        fetches={Fetch.CHANGED: 2, Fetch.FAILED: 5},
    )
    found = rendered([good])

    assert {
        'healthd_source_ok{source="panel"} 1.0',
        'healthd_source_nodes{source="panel"} 3.0',
        'healthd_source_last_success_timestamp_seconds{source="panel"} 1.8e+09',
        'healthd_source_entries{outcome="malformed",source="panel"} 1.0',
        'healthd_source_fetches_total{outcome="changed",source="panel"} 2.0',
        'healthd_source_fetches_total{outcome="failed",source="panel"} 5.0',
    } <= found


def test_gone():
    """Without sources there are no series."""
    assert rendered([]) == set()
