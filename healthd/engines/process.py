"""One child process, from spawn to dead. Every process of the running daemon starts here.

Each child leads a process group of its own, and the group is dead when :func:`run` returns, however
it returns. Trio's own way (SIGTERM, five seconds, SIGKILL, to the leader only) leaves grandchildren
behind; a probe client has nothing to save, so the group is killed at once. No parent-death signal:
Linux ties it to the thread that forked, and trio's worker threads end after ten idle seconds.

What a killed daemon leaves behind is found again by a mark in the children's environment; see
:func:`sweep`.
"""

import errno
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import psutil
import trio

from healthd.errors import EngineFailed
from healthd.model import Reason

OWNER = "HEALTHD_OWNER"
"""Environment variable that marks our children; its value names the daemon they belong to."""

_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOSPC}
_READ_SIZE = 65536
_DRAIN_GRACE = 1.0
"""Seconds to read on after the child's end; only a process that left the group holds the pipe."""


_REAP_LIMIT = 5.0
"""Seconds to wait for a killed child; only one stuck in the kernel takes any."""


async def run(
    argv: Sequence[str],
    *,
    stdin: bytes,
    on_output: Callable[[bytes], object],
    owner: str,
    environment: Mapping[str, str] | None = None,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> int:
    """Run one child to its end; return its exit code (negative: the signal that ended it).

    Cancelling it kills the child with all its group. ``stdin`` is the place for secrets: an argv is
    world-readable. Output is always drained, so the child never blocks on a full pipe.

    Args:
        argv: The command; an absolute path first.
        stdin: Written to the child and closed.
        on_output: Called with each chunk of stdout and stderr.
        owner: The mark by which :func:`sweep` knows the child again.
        environment: All that the child gets besides this mark; nothing is inherited.
        task_status: Told the process id once the child runs.

    Raises:
        EngineFailed: it could not be started.
    """
    process = await _spawn(argv, {**(environment or {}), OWNER: owner})
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_feed, process.stdin, stdin)
            nursery.start_soon(_drain, process.stdout, on_output)
            task_status.started(process.pid)
            code = await process.wait()
            _kill_group(process.pid)
            nursery.cancel_scope.deadline = trio.current_time() + _DRAIN_GRACE
        return code
    finally:
        if process.returncode is None:  # else its group is dead, and the number may be another's
            _kill_group(process.pid)
        with trio.move_on_after(_REAP_LIMIT, shield=True):
            await process.wait()


async def _spawn(argv: Sequence[str], environment: dict[str, str]) -> trio.Process:
    try:
        return await trio.lowlevel.open_process(
            list(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            process_group=0,
        )
    except OSError as why:
        reason = Reason.RESOURCES if why.errno in _EXHAUSTED else Reason.SPAWN
        raise EngineFailed(reason, f"cannot start {argv[0]}: {why.strerror or why}") from why


async def _feed(stream: trio.abc.SendStream | None, data: bytes) -> None:
    assert stream is not None  # noqa: S101 - we asked for a pipe
    async with stream:
        with suppress(trio.BrokenResourceError):  # it ended early: its exit code tells more
            await stream.send_all(data)


async def _drain(
    stream: trio.abc.ReceiveStream | None, on_output: Callable[[bytes], object]
) -> None:
    assert stream is not None  # noqa: S101 - we asked for a pipe
    async with stream:
        while chunk := await stream.receive_some(_READ_SIZE):
            on_output(bytes(chunk))


def _kill_group(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def sweep(owner: str) -> int:
    """Kill what an earlier run with this mark left behind; return how many there were.

    The mark is read from the live process itself, so a reused process id is never hit. Only for a
    caller that holds the lock of its state directory.
    """
    found = 0
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get(OWNER) == owner:
                process.kill()
                found += 1
    return found
