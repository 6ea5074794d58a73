"""The service's own slots: did at least one node that users were given work?

Nodes have their slots in their own tasks. A publication's are counted here, once an interval: good
when one of its published nodes was found working by its latest probe, bad when all were found
broken, unknown when there is nothing to go by.
"""

import math
import time
from collections.abc import Callable, Sequence

import trio

from healthd.publishing.publisher import Publication
from healthd.verdict.board import Board
from healthd.verdict.ledger import SlotVerdict

OnSlot = Callable[[str, float, SlotVerdict], None]
"""Told a publication's name, the wall-clock second of the slot, and what it was."""


async def count(
    board: Board,
    publications: Callable[[], Sequence[Publication]],
    interval: Callable[[], float],
    on_slot: OnSlot,
    wall: Callable[[], float] = time.time,
) -> None:
    """Count until cancelled.

    Args:
        board: What is known of the nodes.
        publications: Gives what is published.
        interval: Gives the seconds of a slot.
        on_slot: Told each slot.
        wall: The wall clock; slots lie at multiples of the interval.
    """
    while True:
        now, every = wall(), interval()
        slot = (math.floor(now / every) + 1) * every
        await trio.sleep(slot - now)
        for publication in publications():
            on_slot(publication.config.name, slot, verdict(board, publication))


def verdict(board: Board, publication: Publication) -> SlotVerdict:
    """What the latest probes of the published nodes say of the service."""
    served = publication.published.nodes if publication.published else ()
    usable = [board[node_id].usable for node_id in served if node_id in board]
    if any(usable):
        return SlotVerdict.GOOD
    if not usable or None in usable:
        return SlotVerdict.UNKNOWN
    return SlotVerdict.BAD
