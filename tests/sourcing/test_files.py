"""Looking at a source's file without taking it up, as `healthd check-config` does."""

import pytest

from healthd.errors import SourceError
from healthd.fleet.subscriptions import Outcome
from healthd.sourcing.files import look
from tests.sourcing.stage import body, source


def at(path, **changes):
    """A source that is this file."""
    return source(url=None, file=path, **changes)


def test_counts(tmp_path):
    """What a sound file holds is counted."""
    path = tmp_path / "nodes.txt"
    path.write_bytes(body(1, 2, 1) + b"\nvless://broken")
    counts = look(at(path)).counts

    assert (counts[Outcome.TAKEN], counts[Outcome.DUPLICATE], counts[Outcome.MALFORMED]) == (
        2,
        1,
        1,
    )


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (None, "No such file or directory"),
        (b"<html>", "the answer is an HTML page"),
        (b"vless://broken", "the answer holds no node that can be used"),
    ],
)
def test_what_would_not_be_taken(tmp_path, written, words):
    """What the daemon would refuse is told with the file's name."""
    path = tmp_path / "nodes.txt"
    if written is not None:
        path.write_bytes(written)
    with pytest.raises(SourceError) as why:
        look(at(path))

    assert f"source 'panel': {path}: " in str(why.value)
    assert words in str(why.value)
