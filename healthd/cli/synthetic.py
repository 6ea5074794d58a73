"""The published figures of four rules, simulated anew, beside the published ones."""

import json
import random
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import click
from rich.progress import Progress
from rich.table import Table

from healthd.cli.common import data, errors
from healthd.replay import table
from healthd.replay.table import CELLS, LOSSES, TABLE, Cell, Kind, Measured


def run(months: float, seed: int, processes: int, *, as_json: bool) -> bool:
    """Simulate the figures and print them; return whether one of the published is contradicted.

    Args:
        months: Node-months at 10 % loss.
        seed: Of chance: the same one gives the same figures.
        processes: How many share the work.
        as_json: Whether programs read it.
    """
    return report(_measured(months, seed, processes), as_json=as_json)


def report(measured: Sequence[Measured], *, as_json: bool) -> bool:
    """Print the figures; return whether one of the published is contradicted."""
    show = _tell if as_json else _print
    show(measured)
    return any(each.contradicts for each in measured)


def _measured(months: float, seed: int, processes: int) -> list[Measured]:
    measure = partial(_measure, months=months, seed=seed)
    # Our own rule takes longest: first, so that no process is left with it at the end.
    order = sorted(CELLS, key=lambda cell: cell.rule, reverse=True)
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as progress:
        task = progress.add_task("simulating", total=len(order))
        found = []
        if processes == 1:
            for cell in order:
                found.append(measure(cell))
                progress.advance(task)
        else:
            with ProcessPoolExecutor(processes) as pool:
                for each in pool.map(measure, order):
                    found.append(each)
                    progress.advance(task)
    return sorted(found, key=lambda each: CELLS.index(each.cell))


def _measure(cell: Cell, months: float, seed: int) -> Measured:
    # Each cell has dice of its own: its figure does not depend on who simulates the others.
    dice = random.Random(f"{seed} {cell.kind} {cell.rule} {cell.column}")  # noqa: S311 - no secret
    return table.measure(cell, dice, months)


def _tell(measured: Sequence[Measured]) -> None:
    rows = [
        {
            "rule": TABLE[each.cell.rule].name,
            "figure": each.cell.kind,
            "loss_percent": round(each.cell.loss * 100, 1),
            "published": float(each.cell.published),
            "measured": round(each.value, 4),
            "low": round(each.low, 4),
            "high": round(each.high, 4),
            "size": each.size,
            "contradicts": each.contradicts,
        }
        for each in measured
    ]
    click.echo(json.dumps(rows, indent=2))


def _print(measured: Sequence[Measured]) -> None:
    for kind in Kind:
        here = [each for each in measured if each.cell.kind is kind]
        published = [each.cell.published for each in here]
        data.print(_table(f"{kind}, published", kind, published))
        data.print(_table(f"{kind}, simulated (99.9 % lie within)", kind, [*map(_cell, here)]))
    contradicted = [each for each in measured if each.contradicts]
    for each in contradicted:
        name, loss = TABLE[each.cell.rule].name, f"{each.cell.loss:.1%}"
        data.print(f"[red]contradicted[/]: {name}, {each.cell.kind} at {loss} loss")
    if not contradicted:
        data.print(
            "every published figure lies within the error of both simulations; for the published "
            f"one, {table.ASSUMED} are assumed"
        )


def _table(title: str, kind: Kind, cells: Sequence[str]) -> Table:
    made = Table(title=title, title_justify="left", box=None, header_style="bold")
    made.add_column("rule \\ loss", overflow="fold")
    losses = LOSSES[kind]
    for loss in losses:
        made.add_column(f"{loss * 100:g} %", justify="right")
    for place, rule in enumerate(TABLE):
        first = place * len(losses)
        made.add_row(rule.name, *cells[first : first + len(losses)])
    return made


def _cell(each: Measured) -> str:
    figures = f"{_short(each.value)}\n{_short(each.low)}-{_short(each.high)}"
    return f"[red]{figures} ![/]" if each.contradicts else figures


def _short(value: float) -> str:
    """Two or three digits, as the published ones."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 3 else f"{value:.2f}"
