"""Directories that an ordinary user cannot even look into."""

import tempfile
from pathlib import Path

import pytest

from healthd import startup
from healthd.config import parse
from healthd.errors import StartupError
from tests.fakes import as_nobody


def config(directory: Path):
    return parse(
        '[[nodes]]\nid = "a"\nlink = "vless://b831381d-6324-4d53-ad4f-8cda48b30811@192.0.2.1:443'
        f'?security=none"\n[[publish]]\nname = "main"\ndirectory = "{directory}"\n'
    )


@pytest.mark.parametrize("what", [startup.check_directories, startup.prepare_directories])
@pytest.mark.parametrize("deep", ["x", "x/y"])
def test_hidden_place_is_a_startup_error(what, deep) -> None:
    """A parent that may not be entered: StartupError naming the key, not a traceback."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        hidden = Path(place) / "hidden"
        hidden.mkdir(mode=0o700)
        with as_nobody(), pytest.raises(StartupError, match=r"publish\[0\]\.directory"):
            what(config(hidden / deep))


def test_state_in_a_hidden_place() -> None:
    """The same for paths.state."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        hidden = Path(place) / "hidden"
        hidden.mkdir(mode=0o700)
        with as_nobody(), pytest.raises(StartupError, match=r"paths\.state"):
            startup.claim_state(hidden / "x" / "y")
