"""The last good answers on disk: whole or not at all, for their owner only, and gone in time."""

import errno
import os
import stat

import pytest

from healthd.sourcing.shelf import Kept, Shelf

KEPT = Kept(b"\x00line\nline\xff", 1_800_000_000.5, "origin", '"etag"', 7)


def modes(path):
    return {each.name: stat.S_IMODE(each.stat().st_mode) for each in (path, *path.iterdir())}


def test_what_is_kept_comes_back(tmp_path):
    """An answer comes back byte for byte, with all that is known of it."""
    shelf = Shelf(tmp_path / "state" / "sources")
    shelf.put("panel", KEPT)

    assert shelf.take("panel") == KEPT
    assert shelf.take("other") is None


def test_the_latest_counts(tmp_path):
    """Another answer takes the place of the one before."""
    shelf = Shelf(tmp_path)
    shelf.put("panel", KEPT)
    shelf.put("panel", Kept(b"", 1.0))

    assert shelf.take("panel") == Kept(b"", 1.0)
    assert [path.name for path in tmp_path.iterdir()] == ["panel.kept"]


def test_nobody_else_reads_it(tmp_path):
    """Whatever the umask is, and whatever the directory was: subscriptions are secrets."""
    tmp_path.chmod(0o755)
    before = os.umask(0)
    try:
        Shelf(tmp_path).put("panel", KEPT)
    finally:
        os.umask(before)

    assert modes(tmp_path) == {tmp_path.name: 0o700, "panel.kept": 0o600}


@pytest.mark.parametrize(
    "damage",
    [
        lambda written: b"",
        lambda written: written[:-1],
        lambda written: written + b"x",
        lambda written: written.replace(b"line", b"life", 1),
        lambda written: written.replace(b'"version": 1', b'"version": 2'),
        lambda written: b"[]\n" + written,
        lambda written: b"[" * 100_000 + written,
        lambda written: written.replace(b"1800000000.5", b'"soon"'),
        lambda written: written.replace(b'"nodes": 7', b'"nodes": Infinity'),
        lambda written: written.replace(b'"etag"', b'"gate"'),
    ],
)
def test_damage_is_seen(tmp_path, damage):
    """What is not exactly what was written is not taken for it."""
    shelf = Shelf(tmp_path)
    shelf.put("panel", KEPT)
    path = tmp_path / "panel.kept"
    path.write_bytes(damage(path.read_bytes()))

    with pytest.raises(ValueError, match="is damaged"):
        shelf.take("panel")


def test_failure_keeps_the_one_before(tmp_path, monkeypatch):
    """When the disk is full, the old answer is still there, and no half of the new one."""

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    shelf = Shelf(tmp_path)
    shelf.put("panel", KEPT)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        shelf.put("panel", Kept(b"new", 2.0))

    assert shelf.take("panel") == KEPT
    assert [path.name for path in tmp_path.iterdir()] == ["panel.kept"]


def test_others_are_forgotten(tmp_path):
    """Who left the configuration leaves nothing; what is being written just now is left alone."""
    shelf = Shelf(tmp_path)
    for name in ("a", "b", "c.kept"):
        shelf.put(name, KEPT)
    (tmp_path / ".x1.tmp").write_bytes(b"half")
    (tmp_path / "README").write_bytes(b"an operator's")
    shelf.keep_only({"a"})

    assert sorted(path.name for path in tmp_path.iterdir()) == [".x1.tmp", "README", "a.kept"]


def test_what_a_killed_writer_left(tmp_path):
    """At the start nobody writes: what is half written is nobody's."""
    shelf = Shelf(tmp_path)
    shelf.put("a", KEPT)
    (tmp_path / ".x1.tmp").write_bytes(b"half")
    shelf.sweep()

    assert [path.name for path in tmp_path.iterdir()] == ["a.kept"]


def test_nothing_to_forget(tmp_path):
    """Before anything was kept there is no directory, and that is fine."""
    Shelf(tmp_path / "none").keep_only(())
    Shelf(tmp_path / "none").sweep()

    assert list(tmp_path.iterdir()) == []
