"""Recorded results once more, with other parameters."""

import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import BinaryIO

import click
from click.core import ParameterSource

from healthd import startup
from healthd.cli import comparison
from healthd.cli import synthetic as simulation
from healthd.cli.common import clear_errors, config_option, duration, give_up, json_option
from healthd.config import Config
from healthd.errors import ReplayError, StoreError
from healthd.model import Node
from healthd.replay import reading, recording, running
from healthd.replay.recording import Recording
from healthd.replay.running import Replayed, Rules
from healthd.replay.setting import changed
from healthd.store.restoring import RESTORE_LIMIT
from healthd.store.service import FILE


@click.command()
@click.argument("file", required=False, type=click.File("rb"))
@config_option
@click.option("--store", is_flag=True, help="Replay what the daemon's store holds.")
@click.option(
    "--since",
    callback=duration,
    metavar="DURATION",
    help='Only what was recorded in this time before the latest result, such as "30d".',
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Another value for a parameter, such as verdict.fall=3 or gate.floor=0.3.",
)
@click.option(
    "--truth",
    type=click.File("rb"),
    metavar="FILE",
    help="When nodes were really dead: lines of JSON with node, down_from and down_to.",
)
@click.option("--publication", metavar="NAME", help="Whose limit and tags hold; else the first.")
@click.option("--synthetic", is_flag=True, help="Simulate the published figures of four rules.")
@click.option(
    "--months",
    type=click.FloatRange(min=0, min_open=True),
    default=10.0,
    show_default=True,
    help="Node-months to simulate at 10 % loss; more of them at less.",
)
@click.option("--seed", default=1, show_default=True, help="Of the simulation.")
@click.option(
    "--processes",
    type=click.IntRange(1, 256),
    default=2,
    show_default=True,
    help="How many processes share the work.",
)
@json_option
@clear_errors
def replay(
    file: BinaryIO | None,
    path: Path,
    store: bool,
    since: float | None,
    settings: tuple[str, ...],
    truth: BinaryIO | None,
    publication: str | None,
    synthetic: bool,
    months: float,
    seed: int,
    processes: int,
    as_json: bool,
) -> None:
    """Replay recorded results with other parameters; show what would have differed.

    The results come from FILE, lines of JSON (with '-' from standard input), or from the daemon's
    own store. One line is one result, times in seconds; "reason" and "latency" may be null:

    \b
    {"node": "hk-1", "began": 1764000000.0, "took": 0.31, "outcome": "success",
     "reason": null, "latency": 0.24, "slot": true}

    Only what was recorded can be replayed. Rechecks that were not made at the time are lacking: a
    hastier rule looks slower than it would have been. Operators' overrides are left out.

    With --synthetic, the published figures that chose the defaults are simulated anew instead; it
    exits 1 when one of them is contradicted.
    """  # noqa: D301 - click's mark for text that is not to be wrapped
    if (file is not None) + store + synthetic != 1:
        raise click.UsageError("give a FILE, or --store, or --synthetic")
    if synthetic:
        sys.exit(simulation.run(months, seed, processes, as_json=as_json))
    config = _config(path)
    rules = _rules(config, publication)
    sides = [rules, changed(rules, settings)] if settings else [rules]
    found: Recording = (
        reading.read_results(_name(file), file)
        if file is not None
        else recording.read_store(config.paths.state / FILE)
    )
    outages = None if truth is None else reading.read_truth(_name(truth), truth, found.nodes)
    begin = float("-inf") if since is None else found.latest - since
    fleet = running.fleet_of(config.fleet(), found.nodes)
    replayed = _replay_all(partial(_replay, found, begin, fleet), sides, processes)
    show = comparison.tell if as_json else comparison.show
    show(found.name, settings, replayed, outages)


def _name(file: BinaryIO) -> str:
    return getattr(file, "name", "<stdin>")


def _config(path: Path) -> Config:
    """A file of results can be replayed without a configuration, by the defaults."""
    source = click.get_current_context().get_parameter_source("path")
    if source is ParameterSource.DEFAULT and not path.exists():
        return Config()
    return startup.read_config(path)


def _rules(config: Config, publication: str | None) -> Rules:
    names = [table.name for table in config.publish]
    if publication is not None and publication not in names:
        there = ", ".join(names) or "none"
        give_up(f"--publication: there is no {publication!r}; there are: {there}")
    chosen = [table for table in config.publish if publication in {None, table.name}][:1]
    return Rules(
        verdict=config.verdict,
        gate=config.gate,
        interval=config.probe.interval,
        limit=chosen[0].limit if chosen else 0,
        select=chosen[0].select if chosen else (),
        forget_after=RESTORE_LIMIT,
    )


def _replay_all(
    replay_once: "partial[Replayed]", sides: Sequence[Rules], processes: int
) -> list[Replayed]:
    if min(len(sides), processes) == 1:
        return [replay_once(rules) for rules in sides]
    with ProcessPoolExecutor(len(sides)) as pool:
        return list(pool.map(replay_once, sides))


def _replay(found: Recording, since: float, fleet: tuple[Node, ...], rules: Rules) -> Replayed:
    try:
        return running.run(recording.merged(found, since), fleet, rules)
    except StoreError as why:  # this one does not survive the way from another process
        raise ReplayError(why.path, f"{why.why}; {why.mend}") from None
