"""Broken input, in quantity: see :mod:`tests.fleet.fuzzing`."""

import random

import pytest

from tests.fleet.fuzzing import TARGETS, Target, broken, fire

IDS = [target.name for target in TARGETS]


@pytest.mark.parametrize("target", TARGETS, ids=IDS)
class TestReaders:
    def test_sound_input_is_read(self, target):
        """What is about to be broken is sound: none of it is refused."""
        for data in target.corpus:
            target.feed(data)

    def test_broken_input(self, target):
        """Broken input is read or refused with the reader's own exceptions, and in time."""
        tally = fire(target, 20_000, seed=1)

        assert tally.read > 100
        assert sum(tally.refused.values()) > 5_000

    @pytest.mark.slow
    def test_much_broken_input(self, target):
        """The same, a quarter of a million times."""
        tally = fire(target, 250_000, seed=2)

        assert tally.read > 1_000


class TestFuzzer:
    def test_is_repeatable(self):
        """The same seed makes the same inputs, and another one others."""
        corpus = TARGETS[0].corpus
        one, same, other = (
            [broken(corpus, chance) for _ in range(50)]
            for chance in (random.Random(1), random.Random(1), random.Random(2))
        )

        assert one == same
        assert one != other

    def test_finds_a_foreign_exception(self, capsys):
        """An exception that is not the reader's own ends the run, and its input is shown."""

        def feed(data: bytes) -> None:
            raise KeyError(len(data))

        with pytest.raises(KeyError):
            fire(Target("bad", [b"abc"], feed, (ValueError,)), 10, seed=0)
        assert "raised at" in capsys.readouterr().err

    def test_finds_slowness(self):
        """A reader whose time grows with the square of its input does not pass."""

        def feed(data: bytes) -> None:
            for _ in range(len(data) ** 2 * 100):
                pass

        with pytest.raises(AssertionError, match="for a KB"):
            fire(Target("slow", [b"a" * 1000], feed, ()), 10, seed=0)
