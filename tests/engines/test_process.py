"""Rule 6 of the house: one module starts every process, and none outlives its call."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
import trio

from healthd.engines import process
from healthd.errors import EngineFailed
from healthd.model import Reason
from tests.conftest import descriptors
from tests.fakes import is_dead, wait_until

pytestmark = pytest.mark.usefixtures("childless", "no_descriptor_leaks")

OWNER = f"test {os.getpid()}"


def python(code: str) -> list[str]:
    """A child that runs this code."""
    return [sys.executable, "-I", "-S", "-c", code]


async def run(code: str, stdin: bytes = b"") -> tuple[int, bytes]:
    """Exit code and output of a child."""
    output = bytearray()
    with trio.fail_after(10):
        exit_code = await process.run(
            python(code), stdin=stdin, on_output=output.extend, owner=OWNER
        )
    return exit_code, bytes(output)


async def test_exit_code_and_both_outputs_come_back() -> None:
    """The caller gets the exit code, and stdout and stderr in one stream."""
    found = await run(
        "import os, sys; os.write(1, b'out '); os.write(2, b'err'); sys.exit(23)",
    )

    assert found == (23, b"out err")


async def test_death_by_signal_is_a_negative_code() -> None:
    """A child that a signal ended returns minus its number."""
    found = await run("import os; os.kill(os.getpid(), 11)")

    assert found == (-11, b"")


async def test_secrets_travel_by_stdin_and_never_by_argv() -> None:
    """What is written to stdin arrives whole and is closed; /proc/PID/cmdline does not hold it."""
    code, output = await run(
        "import sys; print(sys.stdin.read()); print(open('/proc/self/cmdline').read())",
        stdin=b"pass-w0rd",
    )

    echoed, command = output.decode().split("\n", 1)
    assert (code, echoed) == (0, "pass-w0rd")
    assert "pass-w0rd" not in command


async def test_environment_is_only_our_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy, no credential and no path of the daemon's environment reaches a child."""
    monkeypatch.setenv("HTTPS_PROXY", "http://user:secret@proxy.test")
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    _, output = await run("print(open('/proc/self/environ').read(), end='')")

    assert output == f"HEALTHD_OWNER={OWNER}\0".encode()


async def test_large_stdin_and_large_output_do_not_block_each_other() -> None:
    """Both pipes are served at once: a child may answer before it has read everything."""
    data = bytes(range(256)) * 16384
    code, output = await run(
        "import sys, shutil; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)", stdin=data
    )

    assert (code, output == data) == (0, True)


async def test_child_that_ends_without_reading_keeps_its_exit_code() -> None:
    """A broken stdin pipe is no error: the exit code tells more."""
    code, output = await run("import os; os._exit(7)", stdin=b"x" * 4_000_000)

    assert (code, output) == (7, b"")


async def test_flood_of_output_never_blocks_the_child() -> None:
    """The output is drained to the last byte, however much it is."""
    code, output = await run(
        "import os\nfor _ in range(128): os.write(1, b'x' * 65536)\nos.write(2, b'end')"
    )

    assert (code, len(output), output[-3:]) == (0, 128 * 65536 + 3, b"end")


FAMILY = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
grandchild = os.fork()
if grandchild:
    os.write(1, b"%d %d\\n" % (os.getpid(), grandchild))
{leader}
time.sleep(1000)
"""


async def test_cancelling_kills_the_whole_group_at_once() -> None:
    """A child that ignores SIGTERM, and its grandchild holding stdout, are dead on return."""
    output = bytearray()
    async with trio.open_nursery() as nursery:
        pid = await nursery.start(
            partial(
                process.run,
                python(FAMILY.format(leader="")),
                stdin=b"",
                on_output=output.extend,
                owner=OWNER,
            )
        )
        await wait_until(lambda: output.endswith(b"\n"))
        cancelled = trio.current_time()
        nursery.cancel_scope.cancel()
    seconds = trio.current_time() - cancelled

    leader, grandchild = map(int, output.split())
    assert leader == pid
    assert seconds < 1
    assert is_dead(leader)
    await wait_until(lambda: is_dead(grandchild), 1)


async def test_leader_that_exits_leaves_no_grandchild() -> None:
    """The group dies with its leader, although a grandchild holds stdout open."""
    began = trio.current_time()
    code, output = await run(FAMILY.format(leader="    os._exit(3)"))
    seconds = trio.current_time() - began

    _, grandchild = map(int, output.split())
    assert code == 3
    assert seconds < 0.9, "it waited for the grandchild's end of the pipe"
    await wait_until(lambda: is_dead(grandchild), 1)


async def test_process_that_left_the_group_delays_the_return_by_a_second() -> None:
    """An escaped grandchild that holds stdout and stdin cannot hold us."""
    leader = "    os._exit(0)\nos.setsid()\nos.write(1, b'away\\n')"
    output = bytearray()
    began = trio.current_time()
    try:
        with trio.fail_after(5):
            code = await process.run(
                python(
                    FAMILY.format(leader="    import time; time.sleep(0.2); " + leader.lstrip())
                ),
                stdin=b"x" * 1_000_000,
                on_output=output.extend,
                owner=OWNER,
            )
        assert code == 0
        assert trio.current_time() - began < 3
    finally:
        assert process.sweep(OWNER) == 1
    escaped = int(output.split()[1])
    await wait_until(lambda: is_dead(escaped))


@pytest.mark.parametrize("name", ["missing", "not-executable", "folder"])
async def test_spawn_failure_is_our_own_fault(tmp_path: Path, name: str) -> None:
    """A binary that cannot be started raises EngineFailed(SPAWN) naming it; nothing stays open."""
    (tmp_path / "not-executable").write_text("#!/bin/true\n")
    (tmp_path / "folder").mkdir()
    path = str(tmp_path / name)
    before = descriptors()
    with pytest.raises(EngineFailed, match=name) as caught:
        await process.run([path], stdin=b"", on_output=lambda _: None, owner=OWNER)

    assert caught.value.reason is Reason.SPAWN
    assert descriptors() == before


@contextmanager
def few_descriptors(spare: int) -> Iterator[None]:
    """Leave only so many descriptors to open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(entry.name) for entry in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 10, hard))
    taken: list[int] = []
    try:
        with suppress(OSError):
            while True:
                taken.append(os.open("/dev/null", os.O_RDONLY))
        for _ in range(spare):
            os.close(taken.pop())
        yield
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("spare", [0, 1, 2, 3, 4, 5])
async def test_exhausted_descriptors_are_named_as_such(spare: int) -> None:
    """Whichever descriptor is the one too many: EngineFailed(RESOURCES), and none is lost."""
    before = descriptors()
    with few_descriptors(spare), pytest.raises(EngineFailed) as caught:
        await process.run(python(""), stdin=b"", on_output=lambda _: None, owner=OWNER)

    assert caught.value.reason is Reason.RESOURCES
    assert descriptors() == before


async def test_descriptors_are_closed_after_every_way_to_end() -> None:
    """Normal end, cancelled and floods alike: the count of descriptors is what it was."""
    before = descriptors()
    await run("print('x' * 100000)")
    with trio.move_on_after(0.1):
        await process.run(
            python("import time; time.sleep(1000)"),
            stdin=b"x" * 1_000_000,
            on_output=lambda _: None,
            owner=OWNER,
        )

    assert descriptors() == before


async def test_cancelled_before_it_began_leaves_nothing() -> None:
    """A call inside a cancelled scope starts nothing, or ends what it started."""
    with trio.CancelScope() as scope:
        scope.cancel()
        await process.run(
            python("import time; time.sleep(1000)"),
            stdin=b"",
            on_output=lambda _: None,
            owner=OWNER,
        )

    assert scope.cancelled_caught


def test_sweep_kills_what_bears_the_mark_and_nothing_else() -> None:
    """Leftovers of a killed daemon are found by the very mark, not by a part of it."""
    marks = {"mark": "sweep /a", "longer": "sweep /a/b", "shorter": "sweep", "none": None}
    children = {
        name: subprocess.Popen(
            python("import sys; sys.stdin.read()"),
            stdin=subprocess.PIPE,
            env={} if mark is None else {process.OWNER: mark},
        )
        for name, mark in marks.items()
    }
    try:
        swept = process.sweep("sweep /a")
        code = children["mark"].wait(5)
        running = {name for name, child in children.items() if child.poll() is None}
    finally:
        for child in children.values():
            child.kill()
            child.communicate()

    assert (swept, code) == (1, -9)
    assert running == {"longer", "shorter", "none"}


async def test_environment_that_is_wanted_is_added() -> None:
    """What the caller names reaches the child, beside our mark."""
    output = bytearray()
    with trio.fail_after(5):
        await process.run(
            python("print(open('/proc/self/environ').read(), end='')"),
            stdin=b"",
            on_output=output.extend,
            owner=OWNER,
            environment={"SSL_CERT_FILE": "/ca.pem"},
        )

    wanted = {f"HEALTHD_OWNER={OWNER}", "SSL_CERT_FILE=/ca.pem"}
    assert wanted <= set(bytes(output).decode().split("\0"))
