"""The metrics of the contract."""

import re
import shutil
import subprocess
from types import SimpleNamespace
from typing import Any

import pytest

from healthd.config import PublishConfig, VerdictConfig
from healthd.engines.dialect import Engine, EngineName
from healthd.model import Reason, failure, success
from healthd.observing.metrics import Metrics
from healthd.publishing.directory import Published
from healthd.publishing.files import Notes
from healthd.publishing.publisher import Outcome
from healthd.verdict.board import Board
from healthd.verdict.decision import Decision, Mode
from tests.fakes import make_node

CONTRACT = {
    *("node_up", "node_state", "node_published", "node_latency_seconds", "node_transitions_total"),
    *("node_last_probe_timestamp_seconds", "node_last_success_timestamp_seconds"),
    *("node_slots_total", "probes_total", "probe_failures_total", "probe_duration_seconds"),
    *("self_check_ok", "schedule_lag_seconds", "overruns_total", "engine_starts_total"),
    *("publication_generation", "publication_timestamp_seconds", "publication_nodes"),
    *("node_admin", "node_slow", "self_check_fault", "store_ok", "publication_slots_total"),
    *("publication_eligible", "publication_floor", "publication_in_service", "publication_held"),
    *(
        "publication_left_out",
        "publication_mode",
        "publications_total",
        "config_last_reload_successful",
        "build_info",
    ),
}

ENGINES = {
    EngineName.XRAY: Engine("/x", "26.3.27"),
    EngineName.SING_BOX: Engine("/s", "1.14.4"),
}


@pytest.fixture
def stage():
    """Two nodes, one publication that serves one of them, and their metrics."""
    board = Board()
    board.replace([make_node("a"), make_node("b")], 0.0)
    publication: Any = SimpleNamespace(
        config=PublishConfig(name="users", directory="/srv/x"),
        published=Published(7, 1234.0, ("a",)),
        notes=Notes({"xray.json": {"b": "Xray knows no TUIC"}}),
        takes=lambda _: True,
    )
    decisions = {"users": Decision(mode=Mode.NORMAL)}
    metrics = Metrics(board, lambda: [publication], lambda: decisions, ENGINES)
    metrics.announce("users")
    return SimpleNamespace(board=board, metrics=metrics)


def observe(board, node_id, result):
    board.observe(
        node_id, result, slot=True, began=1.0, now=2.0, wall=1000.0, rules=VerdictConfig()
    )


def series(metrics: Metrics) -> dict[str, str]:
    """Every series with its value."""
    lines = metrics.render().decode().splitlines()
    pairs = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
    assert len(pairs) == len({name for name, _ in pairs})  # no duplicates
    return dict(pairs)


def test_contract(stage):
    """Every metric of the contract is there from the start, under its name."""
    text = stage.metrics.render().decode()
    names = set(re.findall(r"^healthd_(\w+?)(?:_bucket|_count|_sum)?(?:\{| )", text, re.MULTILINE))
    assert names >= CONTRACT


def test_known_series_exist_at_zero(stage):
    """Nothing needs to happen first: rates and alerts have something to count from."""
    found = series(stage.metrics)
    for name in (
        'healthd_node_up{node="a"}',
        'healthd_node_slots_total{node="b",verdict="bad"}',
        'healthd_probe_failures_total{node="a",reason="refused"}',
        'healthd_node_transitions_total{node="a",to="down"}',
        'healthd_publications_total{outcome="failed",publication="users"}',
        'healthd_engine_starts_total{engine="xray",outcome="failed"}',
        'healthd_engine_starts_total{engine="sing-box",outcome="failed"}',
        'healthd_probe_duration_seconds_count{engine="sing-box"}',
        "healthd_overruns_total",
    ):
        assert found[name] == "0.0", name
    assert found['healthd_node_state{node="a",state="unknown"}'] == "1.0"


def test_what_happened_shows(stage):
    """Results, health and publications in figures."""
    observe(stage.board, "a", success(0.25))
    observe(stage.board, "b", failure(Reason.REFUSED))
    stage.metrics.published("users", Outcome.PUBLISHED)
    found = series(stage.metrics)
    assert found['healthd_node_up{node="a"}'] == "1.0"
    assert found['healthd_node_latency_seconds{node="a"}'] == "0.25"
    assert found['healthd_node_last_success_timestamp_seconds{node="a"}'] == "1000.0"
    assert found['healthd_node_slots_total{node="b",verdict="bad"}'] == "1.0"
    assert found['healthd_probe_failures_total{node="b",reason="refused"}'] == "1.0"
    assert found['healthd_node_published{node="a",publication="users"}'] == "1.0"
    assert found['healthd_node_published{node="b",publication="users"}'] == "0.0"
    assert found['healthd_publication_generation{publication="users"}'] == "7.0"
    assert found['healthd_publication_mode{mode="normal",publication="users"}'] == "1.0"
    left_out = 'healthd_publication_left_out{{format="{}",publication="users"}}'.format
    assert [found[left_out(name)] for name in ("links", "xray")] == ["0.0", "1.0"]
    assert found['healthd_publications_total{outcome="published",publication="users"}'] == "1.0"


def test_states_sum_to_one(stage):
    """A node is in exactly one state."""
    found = series(stage.metrics)
    states = [v for name, v in found.items() if name.startswith('healthd_node_state{node="a"')]
    assert sorted(states) == ["0.0"] * (len(states) - 1) + ["1.0"]


def test_series_go_with_their_node(stage):
    """A removed node leaves nothing behind; the one that stays keeps its counts."""
    observe(stage.board, "a", success(0.1))
    stage.board.replace([make_node("a")], 5.0)
    text = stage.metrics.render().decode()
    assert 'node="b"' not in text
    assert series(stage.metrics)['healthd_node_slots_total{node="a",verdict="good"}'] == "1.0"


def test_promtool_is_content(stage):
    """Prometheus's own linter finds no fault in names, help and types."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    linted = subprocess.run(
        [promtool, "check", "metrics"],
        input=stage.metrics.render(),
        capture_output=True,
        check=False,
    )
    assert linted.stdout.decode() + linted.stderr.decode() == ""
