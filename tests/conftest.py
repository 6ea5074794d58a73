"""Fixtures of the whole suite."""

import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import structlog

import tests.builders  # noqa: F401 - hypothesis's profile holds for every test
from healthd.engines.find import find_sing_box, find_xray
from healthd.errors import EngineMissing

_OURS = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM", "SSL_CERT_FILE"}


@pytest.fixture(autouse=True)
def clean_surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing of the host, or of the test before, reaches a test."""
    for name in list(os.environ):
        if name in _OURS or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    structlog.contextvars.clear_contextvars()
    yield
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def xray() -> str:
    """Path of a real Xray."""
    try:
        return find_xray().path
    except EngineMissing as why:
        pytest.skip(f"needs Xray: {why}")


@pytest.fixture(scope="session")
def sing_box() -> str:
    """Path of a real sing-box."""
    try:
        return find_sing_box().path
    except EngineMissing as why:
        pytest.skip(f"needs sing-box: {why}")


@pytest.fixture
def childless() -> Iterator[None]:
    """No process that the test started outlives it, not even as a zombie."""
    before = psutil.Process().children(recursive=True)
    yield
    left = [child for child in psutil.Process().children(recursive=True) if child not in before]
    assert left == []


@pytest.fixture
def no_descriptor_leaks() -> Iterator[None]:
    """Every file and socket that the test opened is closed when it ends."""
    before = descriptors()
    yield
    assert descriptors() == before


def descriptors() -> list[str]:
    """What this process holds open, sockets and pipes by kind."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(entry.readlink()).partition(":")[0])
        except FileNotFoundError:  # the one that listed this directory
            continue
    return sorted(found)
