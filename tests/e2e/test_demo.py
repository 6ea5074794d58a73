"""The demo is the first thing a newcomer sees."""

import subprocess
import sys


def test_demo_shows_every_step(xray):
    """`healthd demo` asserts its own steps and exits 0 within its 90 seconds."""
    done = subprocess.run(
        [sys.executable, "-m", "healthd", "demo"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line[:2] for line in done.stdout.splitlines()[:5]] == ["ok"] * 5
    assert "the published files:" in done.stdout
