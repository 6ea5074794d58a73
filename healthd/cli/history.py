"""What the store tells: what happened to a node, and what availability comes to.

Both read the database itself, so that they work when the daemon is down as well.
"""

import difflib
import json
import sys
import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from healthd import startup
from healthd.cli.common import (
    STYLES,
    clear_errors,
    config_option,
    data,
    duration,
    give_up,
    json_option,
)
from healthd.config import Config
from healthd.serving.words import utc
from healthd.store import queries
from healthd.store.queries import History, Standing
from healthd.store.service import FILE
from healthd.verdict.ledger import TARGET, Kind


@click.command()
@config_option
@click.argument("node")
@click.option(
    "--since",
    default="7d",
    show_default=True,
    callback=duration,
    help='How far to look back, such as "36h".',
)
@json_option
@clear_errors
def history(path: Path, node: str, since: float, as_json: bool) -> None:
    """Show what happened to a NODE, oldest first, and what operators want of it now."""
    config = startup.read_config(path)
    now, file = time.time(), config.paths.state / FILE
    _refuse_unknown(file, config, node)
    found = queries.history(file, node, since=now - since, now=now)
    if as_json:
        click.echo(json.dumps(_history_for_programs(node, found), indent=2))
    else:
        _print_history(node, found)


def _refuse_unknown(file: Path, config: Config, node: str) -> None:
    known = sorted({entry.id for entry in config.nodes} | queries.known_nodes(file))
    if node not in known:
        near = difflib.get_close_matches(node, known, n=3)
        hint = f"did you mean {', '.join(near)}?" if near else f"there are: {', '.join(known)}"
        give_up(f"no node {node!r} in the configuration or in the store; {hint}")


def _history_for_programs(node: str, found: History) -> Any:  # noqa: ANN401 - JSON
    return {
        "node": node,
        "transitions": [
            {
                "at": utc(each.at),
                "before": each.before,
                "after": each.after,
                "reason": each.reason,
                "evidence": each.evidence,
                "detail": each.detail,
            }
            for each in found.changes
        ],
        "overrides": [
            {
                "pattern": each.pattern,
                "mode": each.mode,
                "reason": each.reason,
                "author": each.author,
                "created": utc(each.created),
                "expires": utc(each.expires),
            }
            for each in found.overrides
        ],
    }


def _print_history(node: str, found: History) -> None:
    table = Table(box=None, header_style="bold")
    for column in ("time (UTC)", "before", "after", "reason", "evidence", "detail"):
        table.add_column(column, overflow="fold")
    for each in found.changes:
        table.add_row(
            _short(each.at),
            _coloured(each.before),
            _coloured(each.after),
            each.reason or "",
            escape(each.evidence),
            escape(each.detail),
        )
    data.print(table if found.changes else f"{escape(node)}: nothing happened in this time")
    for override in found.overrides:
        until = f"until {_short(override.expires)}" if override.expires else "until it is resumed"
        words = f"{override.mode} {until}, by {override.author}: {override.reason}"
        data.print(escape(f"{override.pattern}: {words}"))


def _short(wall: float | None) -> str:
    return (utc(wall) or "").replace("T", " ").removesuffix("Z")


def _coloured(health: str) -> str:
    return f"[{STYLES[health]}]{health}[/]"


@click.command()
@config_option
@click.option(
    "--days",
    type=click.IntRange(1, 400),
    default=30,
    show_default=True,
    help="How far to look back.",
)
@click.option(
    "--objective",
    type=click.FloatRange(0, 100, min_open=True, max_open=True),
    default=TARGET * 100,
    show_default=True,
    help="Percent of slots that must be good.",
)
@json_option
@clear_errors
def sla(path: Path, days: int, objective: float, as_json: bool) -> None:
    """Show the availability of every publication ("service") and node.

    A service is good when at least one node worked that users were given. Below 95 % coverage there
    is no answer. Exits 1 when an objective is missed.
    """
    config = startup.read_config(path)
    now, interval = time.time(), config.probe.interval
    target = round(objective / 100, 9)  # 99.9 / 100 is a little more than 0.999
    found = queries.sla(
        config.paths.state / FILE, since=now - days * 86400.0, now=now, interval=interval
    )
    rows = [_row(each, target, interval) for each in found]
    if as_json:
        about = {"days": days, "objective_percent": objective, "subjects": rows}
        click.echo(json.dumps(about, indent=2))
    else:
        _print_sla(rows)
    sys.exit(any(row["verdict"] == "missed" for row in rows))


_SHOWN_AS = {Kind.PUBLICATION: "service", Kind.NODE: "node"}


def _row(standing: Standing, target: float, interval: float) -> dict[str, Any]:
    """One subject for programs. Percent, milliseconds and minutes are named in the keys."""
    figures = standing.figures
    budget = figures.budget(target)
    left = budget - figures.bad
    return {
        "kind": _SHOWN_AS[standing.kind],
        "name": standing.name,
        "begin": utc(standing.begin),
        "end": utc(standing.end),
        "verdict": _verdict(standing, target),
        "availability_percent": _rounded(figures.availability, 100, 4),
        "coverage_percent": _rounded(figures.coverage, 100, 2),
        "good": figures.good,
        "bad": figures.bad,
        "excluded": figures.excluded,
        "unknown": figures.unknown,
        "budget_slots": _rounded(budget),
        "budget_left_slots": _rounded(left),
        "budget_left_minutes": _rounded(left * interval, 1 / 60),
        "budget_left_percent": _rounded(left / budget, 100) if budget else None,
        "latency_mean_ms": _rounded(figures.latency_mean, 1000),
        "latency_max_ms": _rounded(figures.latency_max, 1000),
    }


def _verdict(standing: Standing, target: float) -> str:
    figures = standing.figures
    if not figures.is_sufficient or figures.availability is None:
        return "insufficient data"
    return "met" if figures.availability >= target else "missed"


def _rounded(value: float | None, factor: float = 1.0, digits: int = 1) -> float | None:
    return None if value is None else round(value * factor, digits)


_WIDTH = 128
"""Characters that the table needs at least."""

_VERDICT_STYLES = {"met": "green", "missed": "red", "insufficient data": "yellow"}


def _print_sla(rows: list[dict[str, Any]]) -> None:
    table = Table(box=None, header_style="bold")
    for column in ("", "name", "objective"):
        table.add_column(column, overflow="fold")
    for column in ("availability", "coverage", "good", "bad", "excl.", "unknown", "budget left"):
        table.add_column(column, justify="right", overflow="fold")
    table.add_column("mean / max", justify="right", overflow="fold")
    for row in rows:
        style = _VERDICT_STYLES[row["verdict"]]
        is_told = row["verdict"] != "insufficient data"
        table.add_row(
            row["kind"],
            escape(row["name"]),
            f"[{style}]{row['verdict']}[/]",
            f"{row['availability_percent']:.4f} %" if is_told else "",
            "" if row["coverage_percent"] is None else f"{row['coverage_percent']:.2f} %",
            *(str(row[column]) for column in ("good", "bad", "excluded", "unknown")),
            _budget(row) if is_told else "",
            _latency(row),
        )
    if rows:
        # On a narrow screen the lines break; squeezed columns could not be read at all.
        Console(highlight=False, width=max(data.width, _WIDTH)).print(table)
    else:
        data.print("nothing was watched in this time")


def _budget(row: dict[str, Any]) -> str:
    return (
        f"{row['budget_left_slots']:.1f} slots, {row['budget_left_minutes']:.1f} min, "
        f"{row['budget_left_percent']:.1f} %"
    )


def _latency(row: dict[str, Any]) -> str:
    if row["latency_mean_ms"] is None:
        return ""
    return f"{row['latency_mean_ms']:.0f} / {row['latency_max_ms']:.0f} ms"
