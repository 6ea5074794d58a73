"""Logs: three forms, levels that journald keeps, and never a secret."""

import io
import json
import os
import re

import pytest
import structlog

from healthd.config import LogConfig
from healthd.observing import logs

UUID = "b831381d-6324-4d53-ad4f-8cda48b30811"


def written(form: str, level: str = "debug"):
    """Log a bit of everything; return the lines."""
    stream = io.StringIO()
    logs.configure(LogConfig(format=form, level=level), stream)
    log = structlog.get_logger()
    log.debug("node_probed", node="a")
    log.info("node_up", node="a", detail=f"user {UUID} of vless://{UUID}@h:1?x=y#z is fine")
    log.warning("node_down", node="a")
    try:
        raise RuntimeError(f"trouble with {UUID}")
    except RuntimeError:
        log.exception("bug")
    return stream.getvalue().splitlines()


def test_json():
    """One object per line, with event, level and time."""
    lines = [json.loads(line) for line in written("json")]
    assert [line["event"] for line in lines] == ["node_probed", "node_up", "node_down", "bug"]
    assert [line["level"] for line in lines] == ["debug", "info", "warning", "error"]
    assert all("time" in line for line in lines)


def test_journald():
    """Every line, also of a traceback, begins with its level; no time of our own."""
    lines = written("journald")
    assert [line[:3] for line in lines[:3]] == ["<7>", "<6>", "<4>"]
    assert all(line.startswith("<3>") for line in lines[3:])
    assert "event=node_down" in lines[2]
    assert not any("time=" in line for line in lines)


def test_console():
    """For eyes; no colours where there is no terminal."""
    text = "\n".join(written("console"))
    assert "node_down" in text
    assert "\x1b" not in text


@pytest.mark.parametrize("form", ["json", "journald", "console"])
def test_no_secret_gets_out(form):
    """Share links and UUIDs are scrubbed in every form, in tracebacks too."""
    text = "\n".join(written(form))
    assert "trouble with" in text
    assert UUID not in text
    assert not re.search(r"vless://\w", text)


def test_level():
    """What is below the level is not written."""
    assert [json.loads(line)["event"] for line in written("json", "warning")] == [
        "node_down",
        "bug",
    ]


@pytest.mark.parametrize(("journal", "first"), [(True, "<6>"), (False, "{")])
def test_auto(monkeypatch, tmp_path, journal, first):
    """Journald's form when the stream is the journal's own; JSON where nobody watches."""
    with (tmp_path / "journal").open("w+") as stream:
        about = os.fstat(stream.fileno())
        ours = f"{about.st_dev}:{about.st_ino}"
        monkeypatch.setenv("JOURNAL_STREAM", ours if journal else "8:1")
        logs.configure(LogConfig(format="auto"), stream)
        structlog.get_logger().info("node_up")
        stream.flush()
        stream.seek(0)
        assert stream.read().startswith(first)
