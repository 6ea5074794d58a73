"""Whether an answer may replace the one that is in force. Pure.

A panel that is being moved, or whose database is broken, answers too: with fewer nodes, or none.
Taking that at its word would empty what users download.
"""

from healthd.fleet.reading import Outcome, Reading

FEW = 3
"""Nodes. The loss of fewer is daily business, even when it is half of them."""


def refusal(before: int, reading: Reading, name: str) -> str | None:
    """Why an answer of the source ``name`` is not taken, and the mend; None if it is.

    Args:
        before: how many nodes of this source are in force.
        reading: the new answer.
        name: of the source, for the command that takes the answer nevertheless.
    """
    now = len(reading.entries)
    if now == 0:
        return f"the answer holds no node that can be used{_others(reading)}; see what it sends"
    gone = before - now
    if gone >= FEW and gone * 2 >= before:
        return (
            f"the answer holds {_nodes(now)}{_others(reading)} where {before} are in force, half "
            f"or more of them are gone; if that is right, run 'healthd source accept {name}'"
        )
    return None


def _nodes(count: int) -> str:
    return f"{count} node{'' if count == 1 else 's'}"


def _others(reading: Reading) -> str:
    """What else was in it, in brackets."""
    counts = reading.counts
    told = [
        f"{counts[outcome]} {outcome}"
        for outcome in (Outcome.DUPLICATE, Outcome.UNSUPPORTED, Outcome.MALFORMED)
        if counts[outcome]
    ]
    return f" ({', '.join(told)})" if told else ""
