"""What else must hold of logs, metrics and sd_notify."""

import io
import json
import os
import socket
import threading

import pytest
import structlog
import trio

from healthd.config import LogConfig
from healthd.observing import logs
from healthd.observing.sdnotify import SystemdNotifier
from healthd.verdict.board import Board
from tests.fakes import make_node

USER = "b831381d-6324-4d53-ad4f-8cda48b30811"
LINK = f"vless://{USER}@192.0.2.1:443?security=none#x"
FORMS = ["console", "json", "journald"]


class Odd:
    """A value whose text holds a secret."""

    def __repr__(self) -> str:
        return f"<{LINK}>"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "value",
    [
        LINK,
        USER,
        USER.upper(),
        f"user_{USER}",
        f"{USER}x",
        [LINK],
        {"node": {"why": USER}},
        (("a", USER),),
        ValueError(LINK),
        Odd(),
        USER.encode(),
    ],
    ids=[
        "link",
        "uuid",
        "upper",
        "underscore before",
        "letter behind",
        "list",
        "dict",
        "tuple",
        "exception",
        "object",
        "bytes",
    ],
)
def test_no_secret_gets_out(form: str, value: object) -> None:
    """Whatever a value is: no link and no UUID is in the line."""
    stream = io.StringIO()
    logs.configure(LogConfig(format=form), stream)
    structlog.get_logger().error("thing_failed", what=value)

    line = stream.getvalue()
    assert "thing_failed" in line
    assert USER not in line.lower()


@pytest.mark.parametrize("form", FORMS)
def test_no_secret_as_event_or_key(form: str) -> None:
    """Nor in the event's own text, nor bound by the context."""
    stream = io.StringIO()
    logs.configure(LogConfig(format=form), stream)
    structlog.contextvars.bind_contextvars(link=LINK)
    structlog.get_logger().error(f"failed with {LINK}")

    assert USER not in stream.getvalue()


@pytest.mark.parametrize("form", FORMS)
def test_traceback_is_told_without_secrets_and_without_a_warning(form: str) -> None:
    """An unexpected error shows its traceback in every form; warnings are errors here."""
    stream = io.StringIO()
    logs.configure(LogConfig(format=form), stream)
    try:
        raise RuntimeError(LINK)
    except RuntimeError:
        structlog.get_logger().exception("daemon_failed")

    text = stream.getvalue()
    assert "RuntimeError" in text
    assert USER not in text
    if form == "journald":
        assert all(line.startswith("<3>") for line in text.splitlines())
    if form == "json":
        json.loads(text)


def test_journal_stream_of_somebody_else_is_not_ours(monkeypatch) -> None:
    """systemd.exec(5): compare device and inode; a terminal inherits the variable and is none."""
    master, slave = os.openpty()
    try:
        monkeypatch.setenv("JOURNAL_STREAM", "1:2")
        with open(slave, "w", closefd=False) as terminal:
            logs.configure(LogConfig(format="auto", level="info"), terminal)
            structlog.get_logger().info("daemon_started")
        text = os.read(master, 4096).decode()
    finally:
        os.close(master)
        os.close(slave)

    assert "daemon_started" in text
    assert not text.startswith("<6>")


def test_scrape_during_a_reload_never_sees_half_a_fleet() -> None:
    """/metrics is rendered in a thread: series must not blink while the board is replaced."""
    board = Board()
    nodes = [make_node(f"n-{number}") for number in range(500)]
    board.replace(nodes, 0.0)
    stop, seen = threading.Event(), set()

    def scrape() -> None:
        while not stop.is_set():
            seen.add(len(list(board)))

    reader = threading.Thread(target=scrape)
    reader.start()
    for _ in range(2000):
        board.replace(nodes, 0.0)
    stop.set()
    reader.join()

    assert seen == {500}


async def test_stuck_systemd_does_not_stop_the_loop(tmp_path) -> None:
    """With nobody reading the socket its queue fills up: messages are dropped, none blocks."""
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(path)
        notifier = SystemdNotifier({"NOTIFY_SOCKET": path})

        def flood() -> None:
            for _ in range(3000):
                notifier.alive()

        done = False
        with trio.move_on_after(3):
            await trio.to_thread.run_sync(flood, abandon_on_cancel=True)
            done = True

    assert done
