"""How replays of one recording are shown, side by side."""

import json
from collections.abc import Sequence
from functools import partial
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from healthd.cli.common import data
from healthd.replay import comparing
from healthd.replay.comparing import Differing, Figures
from healthd.replay.judging import Outage
from healthd.replay.running import Down, Replayed
from healthd.serving.words import utc


def tell(
    name: str,
    settings: Sequence[str],
    replayed: Sequence[Replayed],
    outages: Sequence[Outage] | None,
) -> None:
    """Print JSON for programs.

    Args:
        name: What was replayed.
        settings: What was changed in the second replay; there is only one if nothing was.
        replayed: The replay with the configured parameters, and that with the changed ones.
        outages: The truth, if it is known.
    """
    first = replayed[0]
    sides = [comparing.figures(each, outages) for each in replayed]
    told: dict[str, Any] = {
        "recording": name,
        "began": utc(first.began),
        "ended": utc(first.ended),
        "results": first.results,
        "set": list(settings),
        "configured": _side(first, sides[0]),
    }
    if settings:
        told["changed"] = _side(replayed[1], sides[1])
        told["difference"] = _keys(comparing.difference(*sides))
        told["differing_nodes"] = [each.node for each in comparing.differing(*replayed)]
    click.echo(json.dumps(told, indent=2))


def _side(replayed: Replayed, figures: Figures) -> dict[str, Any]:
    return {
        "figures": _keys(figures),
        "downs": [
            {
                "node": down.node,
                "at": utc(down.at),
                "until": utc(down.until),
                "reason": down.reason,
                "evidence": down.evidence,
            }
            for down in replayed.downs
        ],
        "publications": [
            {
                "at": utc(issue.at),
                "mode": issue.mode,
                "nodes": issue.nodes,
                "removed": issue.removed,
            }
            for issue in replayed.issues
        ],
    }


def _keys(figures: Figures) -> Figures:
    return {
        name.lower().replace(",", "").replace(" ", "_").replace("-", "_"): None
        if value is None
        else round(value, 2)
        for name, value in figures.items()
    }


def show(
    name: str,
    settings: Sequence[str],
    replayed: Sequence[Replayed],
    outages: Sequence[Outage] | None,
) -> None:
    """Print tables for people; the arguments are those of :func:`tell`."""
    first = replayed[0]
    days = (first.ended - first.began) / 86400
    data.print(
        f"{escape(name)}: {first.results} results in {days:.1f} days, "
        f"{_short(first.began)} to {_short(first.ended)}"
    )
    table = Table(box=None, header_style="bold")
    table.add_column("")
    heads = ["configured", " ".join(settings), "difference"] if settings else ["configured"]
    for head in heads:
        table.add_column(escape(head), justify="right", overflow="fold")
    sides = [comparing.figures(each, outages) for each in replayed]
    columns = [*sides, comparing.difference(*sides)] if settings else sides
    signs = ["", "", "+"][: len(columns)]
    for row in sides[0]:
        if not row.startswith(comparing.IN_MODE) or any(side[row] for side in sides):
            values = [column[row] for column in columns]
            table.add_row(row, *map(partial(_figure, row), values, signs))
    data.print(table)
    if settings:
        _print_differing(*replayed)


def _print_differing(configured: Replayed, other: Replayed) -> None:
    found = comparing.differing(configured, other)
    if not found:
        data.print("no node was down at another time, or for another reason")
        return
    table = Table(box=None, header_style="bold")
    for column in ("node that differs", "configured", "changed", "first difference"):
        table.add_column(column, overflow="fold")
    for each in found:
        table.add_row(
            escape(each.node),
            _downs(configured, each.configured),
            _downs(other, each.changed),
            _first_difference(each),
        )
    data.print(table)


def _downs(replayed: Replayed, downs: Sequence[Down]) -> str:
    minutes = sum(map(replayed.lasted, downs)) / 60
    return f"{len(downs)} x, {minutes:.1f} min" if downs else "never"


def _first_difference(each: Differing) -> str:
    only = [
        (down.at, f"{_short(down.at)} {down.evidence}, {side} only")
        for down, side in (
            *((down, "configured") for down in each.configured if down not in each.changed),
            *((down, "changed") for down in each.changed if down not in each.configured),
        )
    ]
    return escape(min(only)[1])


def _figure(row: str, value: float | None, sign: str) -> str:
    if value is None:
        return "-"
    return f"{value:{sign}.1f}" if row.startswith("minutes") else f"{value:{sign}.0f}"


def _short(wall: float) -> str:
    return (utc(wall) or "").replace("T", " ").removesuffix("Z")
