"""Reading a stranger's text: whatever it does to the reader, the daemon goes on."""

import pytest

from healthd.fleet.subscriptions import Unreadable
from healthd.sourcing.shelf import Kept
from healthd.sourcing.weighing import Good, Refused, read, weigh
from tests.sourcing.stage import body


def test_fault_of_the_reader():
    """A fault of ours is a refusal that names its place, and quotes nothing of the answer."""

    def reader(text, *, max_nodes):
        raise KeyError(f"{text} {max_nodes}")

    with pytest.raises(Unreadable) as why:
        read(Kept(b"SECRET", 0.0), 5, reader)

    assert "healthd itself failed to read it (KeyError at test_weighing.py:" in why.value.why
    assert "SECRET" not in why.value.why
    assert why.value.__cause__ is None


def test_measured_by_what_is_in_force():
    """The same answer is good for a new source, and half of what an old one had."""
    answer = Kept(body(1, 2), 0.0)
    good = weigh(answer, name="panel", before=0, max_nodes=2)
    refused = weigh(answer, name="panel", before=5, max_nodes=2)
    too_many = weigh(answer, name="panel", before=0, max_nodes=1)

    assert isinstance(good, Good)
    assert good.kept.nodes == 2
    assert isinstance(refused, Refused)
    assert refused.acceptable == good
    assert isinstance(too_many, Refused)
    assert too_many.acceptable is None
