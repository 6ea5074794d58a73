"""How fast recordings are replayed and made-up nodes simulated, in node-months per second of CPU.

One process; a node-month is 86,400 slots and their rechecks. Usage: python bench/replay.py
[--nodes 5] [--days 6] [--profile]
"""

import argparse
import cProfile
import heapq
import pstats
import random
import time
from collections.abc import Callable, Iterator
from functools import partial

from healthd.config import ProbeConfig, VerdictConfig
from healthd.model import Reason, failure, success
from healthd.replay import synthetic
from healthd.replay.reading import as_line, read_results
from healthd.replay.recording import merged
from healthd.replay.running import Rules, fleet_of, run
from healthd.verdict import machine, schedule
from healthd.verdict.machine import State
from healthd.verdict.schedule import Turn
from healthd.verdict.trace import Recorded

LOSS = 0.01
"""Of a node that works: a good one on a bad line."""


def recorded(node_id: str, seconds: float) -> Iterator[tuple[float, str, Recorded]]:
    """A node that dies for 20 minutes each day."""
    dice = random.Random(node_id)  # noqa: S311 - no secret
    probe, rules = ProbeConfig(), VerdictConfig()
    state, at = State(since=0.0), schedule.phase(node_id, probe.interval)
    turn, slot, death = Turn(at, slot=True), at, dice.uniform(0.0, 85_000.0)
    while turn.at < seconds:
        slot = turn.at + probe.interval if turn.slot else slot
        dead = 0.0 <= turn.at % 86_400.0 - death < 1200.0
        if dead or dice.random() < LOSS:
            result, took = failure(Reason.REFUSED), 0.02
        else:
            result, took = success(0.1 + dice.expovariate(10)), 0.2 + dice.expovariate(10)
        now = turn.at + took
        yield now, node_id, Recorded(turn.at, took, result, turn.slot)
        state, _ = machine.observe(
            state, result, slot=turn.slot, began=turn.at, now=now, rules=rules
        )
        turn = schedule.next_turn(
            state, slot=slot, began=turn.at, now=now, probe=probe, rules=rules
        )


def timed(name: str, months: float, work: Callable[[], object]) -> None:
    began = time.process_time()
    found = work()
    seconds = time.process_time() - began
    print(f"{name:44} {months / seconds:7.2f} node-months/s   {found}", flush=True)


def profiled(work: Callable[[], object]) -> None:
    profile = cProfile.Profile()
    profile.runcall(work)
    pstats.Stats(profile).sort_stats("tottime").print_stats(12)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--nodes", type=int, default=5)
    options.add_argument("--days", type=float, default=6.0)
    options.add_argument("--profile", action="store_true")
    chosen = options.parse_args()
    names = [f"n{number}" for number in range(chosen.nodes)]
    trace = heapq.merge(*(recorded(name, chosen.days * 86_400) for name in names))
    lines = [f"{as_line(name, each)}\n".encode() for _, name, each in trace]
    months = chosen.nodes * chosen.days / 30
    timed("reading lines of JSON", months, lambda: len(read_results("bench", lines).nodes))
    found = read_results("bench", lines)
    fleet = fleet_of([], found.nodes)

    def replay() -> str:
        replayed = run(merged(found), fleet, Rules())
        return f"{replayed.results} results, {len(replayed.issues)} publications"

    timed("replaying what was recorded", months, replay)
    for loss in (0.005, 0.02, 0.1):
        simulate = partial(
            synthetic.false_downs,
            random.Random(1),  # noqa: S311 - no secret
            loss,
            1.0,
            probe=ProbeConfig(),
            rules=VerdictConfig(),
        )
        timed(f"simulating our rule, {loss:.1%} loss (false downs)", 1.0, simulate)
    if chosen.profile:
        profiled(replay)
        profiled(simulate)


if __name__ == "__main__":
    main()
