"""Parameters on the command line: "verdict.fall=3"."""

import pytest

from healthd.config import GateConfig, VerdictConfig
from healthd.errors import ConfigError
from healthd.replay.running import Rules
from healthd.replay.setting import changed


def test_kinds_of_values():
    """Numbers, fractions, durations and words; what is not named stays as it was configured."""
    before = Rules(
        verdict=VerdictConfig(rise=5, min_down="90s", fall=6),
        gate=GateConfig(floor=0.6, debounce="250ms"),
        limit=3,
    )

    after = changed(
        before,
        ["verdict.fall=3", "verdict.fall_after=1m30s", "gate.floor=0.3", "gate.mode = freeze"],
    )

    assert after == Rules(
        verdict=VerdictConfig(rise=5, min_down="90s", fall=3, fall_after="90s"),
        gate=GateConfig(floor=0.3, debounce="250ms", mode="freeze"),
        limit=3,
    )


def test_nothing():
    """Without a setting the rules are the same."""
    rules = Rules(verdict=VerdictConfig(fall=2))
    assert changed(rules, []) == rules


def test_the_last_one_holds():
    """A key that is given twice has its last value."""
    assert changed(Rules(), ["verdict.fall=3", "verdict.fall=5"]).verdict.fall == 5


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ("verdict.fall", "verdict.fall: must be KEY=VALUE, such as verdict.fall=3"),
        ("verdict=3", "verdict: must be KEY=VALUE, such as verdict.fall=3"),
        ("probe.interval=60s", "probe.interval: cannot be replayed; only verdict.* and gate.* can"),
        ("verdict.fal=3", "verdict.fal: unknown key; did you mean 'fall'?"),
        ("verdict.fall=many", "verdict.fall: must be a whole number, without quotes"),
        ("verdict.fall=03", "verdict.fall: must be a whole number, without quotes"),
        ('verdict.fall=3\nrise = "x"', "verdict.fall: must be a whole number, without quotes"),
        ("gate.floor=1.5", "gate.floor: input should be less than or equal to 1"),
        ("gate.mode=open", "gate.mode: must be 'top-up', 'freeze', 'all' or 'strict'"),
        (
            "verdict.fall_after=20",
            'verdict.fall_after: must be a duration in quotes, such as "30s", "250ms" or "1h30m"',
        ),
        (
            "verdict.window_failures=20",
            "verdict.window_failures: cannot exceed verdict.window: it would never be met",
        ),
    ],
)
def test_faults(setting, why):
    """A wrong setting is told at its key, in the words of the configuration."""
    with pytest.raises(ConfigError) as caught:
        changed(Rules(), [setting])

    assert str(caught.value) == f"--set: {why}"


def test_all_faults_at_once():
    """Every wrong setting is told in one go."""
    with pytest.raises(ConfigError) as caught:
        changed(Rules(), ["x=1", "verdict.rise=0", "gate.floor=x"])

    assert [problem.key for problem in caught.value.problems] == ["x", "verdict.rise", "gate.floor"]
