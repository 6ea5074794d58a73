"""A directory of client files: whole generations, one flip, and nothing else touched."""

import errno
import hashlib
import itertools
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from healthd.publishing.directory import KEEP, PublicationDirectory, Published
from healthd.publishing.hiding import hidden_names
from tests.fakes import as_nobody

NOW = 1_700_000_000.0
DOCUMENTS = {"links.txt": b"bGlua3M=\n", "xray.json": b"[]\n"}


def publish(
    directory: PublicationDirectory, documents: dict[str, bytes] | None = None, now: float = NOW
) -> Published:
    """Publish these documents for one node."""
    return directory.publish(
        DOCUMENTS if documents is None else documents,
        nodes=["a"],
        about={"publication": "main"},
        now=now,
    )


@pytest.fixture
def directory(tmp_path: Path) -> PublicationDirectory:
    """A prepared directory."""
    made = PublicationDirectory(tmp_path / "public")
    made.prepare()
    return made


def served(directory: PublicationDirectory) -> dict[str, bytes]:
    """What a web server would read, by stable name."""
    top = [path for path in directory.path.iterdir() if not path.name.startswith(".")]
    files = [file for path in top for file in (path.iterdir() if path.is_dir() else [path])]
    return {str(file.relative_to(directory.path)): file.read_bytes() for file in files}


def generations(directory: PublicationDirectory) -> list[str]:
    """Names of the generations on disk."""
    return sorted(path.name for path in (directory.path / ".generations").iterdir())


def mode(path: Path) -> int:
    """Permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


# --- layout -----------------------------------------------------------------------------------


def test_stable_names_lead_through_one_link(directory: PublicationDirectory) -> None:
    """Every name points through .current, which alone points to the generation."""
    publish(directory)

    names = ("links.txt", "xray.json", "meta.json")
    assert {name: str((directory.path / name).readlink()) for name in names} == {
        name: f".current/{name}" for name in names
    }
    assert str((directory.path / ".current").readlink()) == ".generations/00000001"
    assert served(directory).keys() == set(names)


def test_meta_tells_what_is_served(directory: PublicationDirectory) -> None:
    """meta.json names generation, time, nodes, and the hash and size of each file."""
    published = publish(directory)

    meta = json.loads((directory.path / "meta.json").read_bytes())
    assert meta == {
        "generation": 1,
        "generated_at": "2023-11-14T22:13:20Z",
        "publication": "main",
        "removals": [],
        "nodes": ["a"],
        "files": {
            name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
            for name, content in DOCUMENTS.items()
        },
    }
    assert published == directory.current() == Published(1, NOW, ("a",))


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o027, 0o077])
def test_files_are_readable_by_the_group_and_nobody_else(tmp_path: Path, umask: int) -> None:
    """Modes are 0640 and 0750 whatever the umask: credentials, to be served by nginx's group."""
    directory = PublicationDirectory(tmp_path / "public")
    before = os.umask(umask)
    try:
        directory.prepare()
        publish(directory)
    finally:
        os.umask(before)

    generation = directory.path / ".generations" / "00000001"
    assert {path.name: oct(mode(path)) for path in generation.iterdir()} == dict.fromkeys(
        (*DOCUMENTS, "meta.json"), "0o640"
    )
    folders = (directory.path, directory.path / ".generations", generation)
    assert [oct(mode(folder)) for folder in folders] == ["0o750"] * 3


def test_directory_that_was_there_keeps_its_mode(tmp_path: Path) -> None:
    """An operator's own mode on an existing directory is his."""
    path = tmp_path / "public"
    path.mkdir()
    path.chmod(0o2755)
    PublicationDirectory(path).prepare()

    assert oct(mode(path)) == "0o2755"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files to any group")
def test_group_is_that_of_the_directory(directory: PublicationDirectory) -> None:
    """Giving the directory to nginx's group is enough: every file follows."""
    os.chown(directory.path, -1, 12345)
    directory.prepare()
    publish(directory)

    generation = directory.path / ".generations" / "00000001"
    paths = (generation, generation.parent, *generation.iterdir())
    assert {path.stat().st_gid for path in paths} == {12345}


def test_dropped_format_goes_away_and_comes_back(directory: PublicationDirectory) -> None:
    """A name that is no longer published vanishes; it does not lead nowhere."""
    publish(directory)
    publish(directory, {"links.txt": b"x"})
    assert served(directory).keys() == {"links.txt", "meta.json"}

    publish(directory)
    assert served(directory).keys() == {"links.txt", "xray.json", "meta.json"}


def test_foreign_files_are_left_alone(directory: PublicationDirectory) -> None:
    """What others put beside our files stays: pages, folders, and links of their own."""
    path = directory.path
    (path / "index.html").write_text("hello")
    (path / ".well-known").mkdir()
    (path / ".well-known" / "security.txt").write_text("me")
    (path / "latest").symlink_to("index.html")
    (path / "nowhere").symlink_to("/no/such/thing")
    (path / ".generations" / "README").write_text("keep out")
    for _ in range(KEEP + 2):
        publish(directory)
    directory.prepare()

    assert (path / "index.html").read_text() == "hello"
    assert (path / ".well-known" / "security.txt").read_text() == "me"
    assert str((path / "latest").readlink()) == "index.html"
    assert (path / "nowhere").is_symlink()
    assert (path / ".generations" / "README").read_text() == "keep out"


# --- time -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "clock",
    [
        [NOW] * 5,
        [NOW, NOW + 0.9, NOW + 1.1, NOW + 1.2, NOW + 1.9],
        [NOW, NOW - 3600, NOW - 7200, 0.0, NOW],
        [NOW, NOW + 60, NOW + 61, NOW + 62, NOW + 63],
    ],
    ids=["stands still", "creeps", "goes back", "runs"],
)
def test_time_of_modification_rises_with_every_generation(
    directory: PublicationDirectory, clock: list[float]
) -> None:
    """By a second at least, for every file: nginx's ETag is made of seconds and size."""
    times: dict[str, list[int]] = {}
    for number, now in enumerate(clock):
        published = publish(directory, {"links.txt": b"%d" % number}, now)
        for name in ("links.txt", "meta.json"):
            times.setdefault(name, []).append(int((directory.path / name).stat().st_mtime))
        assert published.published_at == times["links.txt"][-1]

    for seen in times.values():
        assert all(later >= sooner + 1 for sooner, later in itertools.pairwise(seen))


def test_time_follows_the_clock_again_when_it_can(directory: PublicationDirectory) -> None:
    """Seconds that were borrowed from the future are paid back."""
    for _ in range(5):
        publish(directory)

    assert publish(directory, now=NOW + 100).published_at == NOW + 100


def test_unchanged_document_keeps_its_time(directory: PublicationDirectory) -> None:
    """Beside one that changes: its ETag stays, so clients are told that nothing is new."""
    publish(directory)
    before = (directory.path / "xray.json").stat()
    publish(directory, {**DOCUMENTS, "links.txt": b"new"}, NOW + 100)
    after = (directory.path / "xray.json").stat()

    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    for name in ("links.txt", "meta.json"):
        assert (directory.path / name).stat().st_mtime == NOW + 100


def test_document_that_comes_back_has_a_new_time(directory: PublicationDirectory) -> None:
    """Old bytes after others are a change; so is a format that was dropped for a while."""
    times = []
    for documents in (DOCUMENTS, {"links.txt": b"new"}, DOCUMENTS):
        publish(directory, documents)
        times.append({p.name: int(p.stat().st_mtime) for p in directory.path.glob("[a-z]*")})

    assert [each["links.txt"] for each in times] == [NOW, NOW + 1, NOW + 2]
    assert (times[0]["xray.json"], times[2]["xray.json"]) == (NOW, NOW + 2)


@pytest.mark.parametrize(
    "number", [errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS]
)
def test_without_hard_links_the_time_stays_all_the_same(
    directory: PublicationDirectory, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Where a file cannot have two names, a copy has the time of the first."""
    publish(directory)
    before = (directory.path / "xray.json").stat()

    def link(source: str, _target: str, *, follow_symlinks: bool) -> None:
        assert not follow_symlinks
        raise OSError(number, os.strerror(number), source)

    monkeypatch.setattr(os, "link", link)
    publish(directory, {**DOCUMENTS, "links.txt": b"new"}, NOW + 100)
    after = (directory.path / "xray.json").stat()

    assert after.st_ino != before.st_ino
    assert after.st_mtime_ns == before.st_mtime_ns
    assert served(directory).items() >= {**DOCUMENTS, "links.txt": b"new"}.items()


def test_link_that_fails_otherwise_fails_the_publication(
    directory: PublicationDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bad disk is told, and what is served stays."""
    publish(directory)

    def link(source: str, _target: str, **_: bool) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), source)

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(OSError, match="Input/output"):
        publish(directory, {**DOCUMENTS, "links.txt": b"new"})

    assert served(directory).items() >= DOCUMENTS.items()
    assert generations(directory) == ["00000001"]


def test_only_what_was_written_is_synced(
    directory: PublicationDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unchanged document is on the disk already; its new name is in its folder."""
    publish(directory)
    real, synced = os.fsync, list[str]()

    def fsync(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    publish(directory, {**DOCUMENTS, "links.txt": b"new"})

    assert synced == ["links.txt", "meta.json", ".00000002.tmp", ".generations", "public"]


def odd_mode(path: Path) -> None:
    """Somebody made the file readable for everybody."""
    path.chmod(0o644)


def odd_kind(path: Path) -> None:
    """Somebody put a link in the file's place."""
    path.rename(path.with_name("moved"))
    path.symlink_to("moved")


def unreadable(path: Path) -> None:
    """A folder is in the file's place."""
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("spoil", "kept"), [(odd_mode, True), (odd_kind, False), (unreadable, False)]
)
def test_spoilt_document_is_written_anew(
    directory: PublicationDirectory, spoil: Callable[[Path], None], kept: bool
) -> None:
    """What somebody has changed behind our back is not handed on; equal bytes keep their time."""
    publish(directory)
    spoil(directory.path / ".generations" / "00000001" / "xray.json")
    publish(directory, {**DOCUMENTS, "links.txt": b"new"}, NOW + 100)
    path = directory.path / ".generations" / "00000002" / "xray.json"

    assert stat.S_ISREG(path.lstat().st_mode)
    assert (path.read_bytes(), mode(path)) == (DOCUMENTS["xray.json"], 0o640)
    assert path.stat().st_mtime == (NOW if kept else NOW + 100)


# --- users' folders ---------------------------------------------------------------------------

ANNA, BEN = "f3b1c7d9e0a24586f3b1c7d9e0a24586", "Zm9vYmFyYmF6cXV4MTIzNA"
OF_USERS = {
    f"{ANNA}/links.txt": b"anna",
    f"{ANNA}/xray.json": b"[1]",
    f"{BEN}/links.txt": b"ben",
    f"{BEN}/xray.json": b"[2]",
}


def test_each_folder_has_one_stable_name(directory: PublicationDirectory) -> None:
    """It leads through .current like the files, so one flip changes all users at once."""
    publish(directory, OF_USERS)

    assert {name: str((directory.path / name).readlink()) for name in (ANNA, BEN)} == {
        name: f".current/{name}" for name in (ANNA, BEN)
    }
    assert served(directory).keys() == {*OF_USERS, "meta.json"}
    assert served(directory).items() >= OF_USERS.items()
    assert directory.holds(OF_USERS)
    assert directory.read(f"{ANNA}/links.txt") == b"anna"
    assert directory.read(f"{ANNA}/clash.yaml") is None


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_folders_are_readable_by_the_group_and_nobody_else(tmp_path: Path, umask: int) -> None:
    """As everything else is."""
    directory = PublicationDirectory(tmp_path / "public")
    before = os.umask(umask)
    try:
        directory.prepare()
        publish(directory, OF_USERS)
        publish(directory, {**OF_USERS, f"{BEN}/links.txt": b"new"})
    finally:
        os.umask(before)

    for generation in ("00000001", "00000002"):
        folder = directory.path / ".generations" / generation / ANNA
        assert oct(mode(folder)) == "0o750"
        assert {oct(mode(path)) for path in folder.iterdir()} == {"0o640"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files to any group")
def test_group_that_changes_is_everybodys(directory: PublicationDirectory) -> None:
    """After a chgrp every file of the next generation has it; what is served is not touched."""
    publish(directory, OF_USERS)
    os.chown(directory.path, -1, 12345)
    publish(directory, {**OF_USERS, f"{BEN}/links.txt": b"new"}, NOW + 100)

    old, new = (directory.path / ".generations" / number for number in ("00000001", "00000002"))
    assert {path.stat().st_gid for path in (new, *new.rglob("*"))} == {12345}
    assert 12345 not in {path.stat().st_gid for path in old.rglob("*")}
    assert (new / ANNA / "links.txt").stat().st_mtime == NOW  # a copy, with the old time


def test_other_users_keep_their_times(directory: PublicationDirectory) -> None:
    """One user's change is none to the others: their clients get 304."""
    publish(directory, OF_USERS)
    publish(directory, {**OF_USERS, f"{BEN}/links.txt": b"new"}, NOW + 100)

    times = {name: (directory.path / name).stat().st_mtime for name in OF_USERS}
    assert times == dict.fromkeys(OF_USERS, NOW) | {f"{BEN}/links.txt": NOW + 100}


def test_meta_tells_of_folders_in_sums_only(directory: PublicationDirectory) -> None:
    """How many and how much, with one hash over all; a token is nowhere in it."""
    publish(directory, {**OF_USERS, "links.txt": b"common"})

    text = (directory.path / "meta.json").read_text()
    meta = json.loads(text)
    digests = sorted(hashlib.sha256(content).hexdigest() for content in OF_USERS.values())
    assert meta["folders"] == {
        "folders": 2,
        "files": 4,
        "bytes": sum(map(len, OF_USERS.values())),
        "sha256": hashlib.sha256("".join(digests).encode()).hexdigest(),
    }
    assert meta["files"].keys() == {"links.txt"}
    assert ANNA not in text
    assert BEN not in text


@pytest.mark.parametrize(
    "other",
    [
        {},
        DOCUMENTS,
        {name: content for name, content in OF_USERS.items() if BEN not in name},
        {**OF_USERS, f"{BEN}/links.txt": b"other"},
        {**OF_USERS, f"{BEN}/clash.yaml": b""},
        {**OF_USERS, "links.txt": b"common"},
        {name.replace(BEN, BEN[::-1]): content for name, content in OF_USERS.items()},
    ],
)
def test_other_documents_of_users_are_not_held(
    directory: PublicationDirectory, other: dict[str, bytes]
) -> None:
    """A user more or less, a format more or less, other bytes, another token."""
    publish(directory, OF_USERS)

    assert not directory.holds(other)
    publish(directory, other)
    assert directory.holds(other)
    assert served(directory).keys() == {*other, "meta.json"}


def test_user_who_left_has_no_folder(directory: PublicationDirectory) -> None:
    """With the next generation his token leads nowhere; another token for him is another folder."""
    publish(directory, OF_USERS)
    token = "another0token0for0ben0abc"
    left = {name.replace(BEN, token): content for name, content in OF_USERS.items()}
    publish(directory, left)

    assert not (directory.path / BEN).is_symlink()
    assert served(directory)[f"{token}/links.txt"] == b"ben"


def test_token_can_be_withdrawn_before_anything_is_published(
    directory: PublicationDirectory,
) -> None:
    """It stops working at once; files and other users stay; the next publication mends the rest."""
    publish(directory, {**OF_USERS, "links.txt": b"common"})

    assert directory.withdraw([ANNA]) == 1
    assert served(directory).keys() == {
        *(n for n in OF_USERS if ANNA in n),
        "links.txt",
        "meta.json",
    }
    assert directory.withdraw([ANNA]) == 0
    assert not directory.holds(OF_USERS)
    publish(directory, OF_USERS)
    assert directory.holds(OF_USERS)


def test_nothing_to_withdraw_where_nothing_is(tmp_path: Path) -> None:
    """A directory that is not there serves nobody."""
    assert PublicationDirectory(tmp_path / "public").withdraw([]) == 0


def test_what_others_put_there_is_not_withdrawn(directory: PublicationDirectory) -> None:
    """Only our own names go."""
    publish(directory, OF_USERS)
    (directory.path / "pages").mkdir()
    (directory.path / "latest").symlink_to("pages")

    assert directory.withdraw([]) == 2
    assert (directory.path / "pages").is_dir()
    assert (directory.path / "latest").is_dir()


def test_from_common_files_to_users_and_back(directory: PublicationDirectory) -> None:
    """Common files go away when users come, and the other way round."""
    for documents in (DOCUMENTS, OF_USERS, DOCUMENTS):
        publish(directory, documents)
        assert served(directory).keys() == {*documents, "meta.json"}


def test_old_generations_of_users_are_pruned_and_swept(directory: PublicationDirectory) -> None:
    """Whole trees, as it was with files; hard links in later generations live on."""
    for number in range(KEEP + 2):
        publish(directory, {**OF_USERS, f"{BEN}/links.txt": b"%d" % number})
    half = directory.path / ".generations" / ".00000099.tmp"
    (half / ANNA).mkdir(parents=True)
    (half / ANNA / "links.txt").write_bytes(b"half")
    (directory.path / f".{ANNA}.tmp").symlink_to(f".current/{ANNA}")
    directory.sweep()

    assert generations(directory) == [f"{number:08d}" for number in range(3, KEEP + 3)]
    assert list(directory.path.rglob("*.tmp")) == []
    unchanged = directory.path / ANNA / "links.txt"
    assert (unchanged.stat().st_nlink, unchanged.stat().st_mtime) == (KEEP, NOW)


def token_in_the_way(path: Path) -> None:
    """A folder of somebody else has a user's token for its name."""
    (path / BEN).unlink(missing_ok=True)
    (path / BEN).mkdir()


def stable_name_cannot_be_made(path: Path) -> None:
    """A folder is where the link is made."""
    (path / BEN).unlink()
    (path / f".{BEN}.tmp").mkdir()


@pytest.mark.parametrize("block", [token_in_the_way, stable_name_cannot_be_made])
def test_no_error_shows_a_token(
    directory: PublicationDirectory, block: Callable[[Path], None]
) -> None:
    """Errors quote paths and end in logs, and this path is a secret."""
    publish(directory, OF_USERS)
    block(directory.path)
    with pytest.raises(OSError) as caught:  # noqa: PT011 - which one depends on the obstacle
        publish(directory, {**OF_USERS, f"{BEN}/links.txt": b"new"})

    assert str(directory.path) in str(caught.value)
    assert "•••" in str(caught.value)
    assert BEN not in f"{caught.value!r} {caught.value} {caught.value.filename}"


def test_no_error_of_two_paths_shows_a_token(directory: PublicationDirectory) -> None:
    """Renames and links name two."""
    publish(directory, OF_USERS)
    here = str(directory.path)
    with pytest.raises(OSError) as caught, hidden_names(directory.path):  # noqa: PT011
        raise OSError(errno.EIO, "no", f"{here}/.{BEN}.tmp", None, f"{here}/{BEN}")

    assert (caught.value.filename, caught.value.filename2) == (f"{here}/.•••.tmp", f"{here}/•••")


@pytest.mark.parametrize("name", [None, 7, b"/x", "/elsewhere/f3b1c7d9e0a24586f3b1c7d9e0a24586"])
def test_other_names_in_errors_stay(directory: PublicationDirectory, name: object) -> None:
    """What is no path below the directory tells no token."""
    with pytest.raises(OSError) as caught, hidden_names(directory.path):  # noqa: PT011
        raise OSError(errno.EIO, "no", name)

    assert caught.value.filename == name
    assert " -> " not in str(caught.value)


# --- generations ------------------------------------------------------------------------------


def test_ten_generations_are_kept(directory: PublicationDirectory) -> None:
    """Twelve publications leave the last ten, the served one among them."""
    for _ in range(12):
        publish(directory)

    assert generations(directory) == [f"{number:08d}" for number in range(3, 13)]


def test_same_documents_are_held(directory: PublicationDirectory) -> None:
    """An unchanged fleet writes nothing: bytes and names decide."""
    assert not directory.holds(DOCUMENTS)
    publish(directory)

    assert directory.holds(dict(DOCUMENTS))
    assert not directory.holds({**DOCUMENTS, "links.txt": b"bGlua3M="})
    assert not directory.holds({"links.txt": DOCUMENTS["links.txt"]})
    assert not directory.holds({**DOCUMENTS, "clash.yaml": b""})


@pytest.mark.parametrize("name", ["links.txt", ".current"])
def test_lost_link_is_made_again(directory: PublicationDirectory, name: str) -> None:
    """Documents behind a link that somebody removed are not held; publishing mends it."""
    publish(directory)
    (directory.path / name).unlink()

    assert not directory.holds(DOCUMENTS)
    publish(directory)
    assert served(directory).items() >= DOCUMENTS.items()


def test_copy_in_a_links_place_becomes_a_link_again(directory: PublicationDirectory) -> None:
    """A file that somebody copied over a stable name would never change again."""
    publish(directory)
    (directory.path / "links.txt").unlink()
    (directory.path / "links.txt").write_bytes(b"a copy")
    publish(directory, {**DOCUMENTS, "links.txt": b"new"})

    assert served(directory)["links.txt"] == b"new"


GARBAGE = [
    b"",
    b"garbage",
    b"[]",
    b"null",
    b'"text"',
    b"\xff\xfe",
    b'{"generation": 1}',
    b'{"generation": "x", "generated_at": "2023-11-14T22:13:20Z", "nodes": []}',
    b'{"generation": 1, "generated_at": "yesterday", "nodes": []}',
    b'{"generation": 1, "generated_at": 7, "nodes": []}',
    b'{"generation": 1, "generated_at": "2023-11-14T22:13:20Z", "nodes": null}',
    b'{"generation": 1e999, "generated_at": "2023-11-14T22:13:20Z", "nodes": []}',
    b'{"generation": -5, "generated_at": "2023-11-14T22:13:20Z", "nodes": []}',
]


@pytest.mark.parametrize("garbage", GARBAGE)
def test_generation_rises_over_a_broken_meta(
    directory: PublicationDirectory, garbage: bytes
) -> None:
    """A damaged meta.json (a full disk, a bad copy) is no obstacle; numbers never come back."""
    publish(directory)
    publish(directory)
    (directory.path / ".current" / "meta.json").write_bytes(garbage)

    directory.current()
    assert publish(directory).generation == 3


@pytest.mark.parametrize("how", ["missing", "dangling", "foreign"])
def test_generation_rises_without_a_current_link(directory: PublicationDirectory, how: str) -> None:
    """With .current gone or leading nowhere there is nothing current; the number still rises."""
    publish(directory)
    publish(directory)
    link = directory.path / ".current"
    link.unlink()
    if how == "dangling":
        link.symlink_to(".generations/00000099")
    elif how == "foreign":
        link.symlink_to("/etc")

    assert directory.current() is None
    assert publish(directory).generation == 3
    assert served(directory).items() >= DOCUMENTS.items()


def test_restart_goes_on_where_the_last_run_ended(directory: PublicationDirectory) -> None:
    """Another process sees the same current generation and takes the next number."""
    publish(directory)
    again = PublicationDirectory(directory.path)
    again.prepare()

    assert again.current() == Published(1, NOW, ("a",))
    assert again.holds(DOCUMENTS)
    assert publish(again).generation == 2


def test_leftovers_of_a_killed_writer_are_swept(directory: PublicationDirectory) -> None:
    """sweep() removes half-written generations and links, and nothing that is served."""
    publish(directory)
    half = directory.path / ".generations" / ".00000002.tmp"
    half.mkdir()
    (half / "links.txt").write_bytes(b"half")
    (directory.path / ".current.tmp").symlink_to(".generations/00000002")
    (directory.path / ".links.txt.tmp").symlink_to(".current/links.txt")
    directory.prepare()
    assert half.exists()  # a reload prepares too, while a writer may be at work
    directory.sweep()

    assert list(directory.path.rglob("*.tmp")) == []
    assert served(directory).items() >= DOCUMENTS.items()


def test_leftovers_do_not_disturb_a_writer(directory: PublicationDirectory) -> None:
    """Publishing over leftovers works even before they are swept."""
    half = directory.path / ".generations" / ".00000001.tmp"
    half.mkdir()
    (half / "links.txt").write_bytes(b"half")
    (directory.path / ".current.tmp").symlink_to("nowhere")
    publish(directory)

    assert served(directory).items() >= DOCUMENTS.items()


# --- failures ---------------------------------------------------------------------------------


def blocked_generations(path: Path) -> None:
    """A file stands where the generations should be."""
    shutil.move(path / ".generations", path / "elsewhere")
    (path / ".generations").write_text("not a directory")
    (path / ".current").unlink()
    (path / ".current").symlink_to("elsewhere/00000001")


def blocked_flip(path: Path) -> None:
    """A real directory stands where .current should be, as after a copy that followed links."""
    shutil.copytree(path / ".generations" / "00000001", path / "copy")
    (path / ".current").unlink()
    (path / "copy").rename(path / ".current")


def blocked_name(path: Path) -> None:
    """A folder stands where a new file's stable name should be."""
    (path / "new.txt").mkdir()
    (path / "new.txt" / "mine").write_text("foreign")


@pytest.mark.parametrize("block", [blocked_generations, blocked_flip, blocked_name])
def test_failed_write_leaves_what_is_served(
    directory: PublicationDirectory, block: Callable[[Path], None]
) -> None:
    """Whatever cannot be written: OSError, and readers see what they saw before."""
    publish(directory)
    before = {name: (directory.path / name).read_bytes() for name in DOCUMENTS}
    block(directory.path)
    with pytest.raises(OSError):  # noqa: PT011 - which one depends on the obstacle
        publish(directory, {"links.txt": b"new", "xray.json": b"new", "new.txt": b"new"})

    assert {name: (directory.path / name).read_bytes() for name in DOCUMENTS} == before


@pytest.mark.parametrize("block", [blocked_flip, blocked_name])
def test_repeated_failures_do_not_fill_the_disk(
    directory: PublicationDirectory, block: Callable[[Path], None]
) -> None:
    """It is tried again every 30 s for as long as it fails: nothing may pile up meanwhile."""
    publish(directory)
    block(directory.path)
    for _ in range(3 * KEEP):
        with pytest.raises(OSError):  # noqa: PT011 - which one depends on the obstacle
            publish(directory, {"links.txt": b"new", "new.txt": b"new"})

    assert len(generations(directory)) <= KEEP


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A folder that an unprivileged user can reach, unlike tmp_path."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        yield Path(place)


def test_read_only_directory_leaves_what_is_served(open_place: Path) -> None:
    """Without the right to write: OSError naming the place, nothing changed, nothing left over."""
    directory = PublicationDirectory(open_place / "public")
    directory.prepare()
    publish(directory)
    directory.path.chmod(0o555)
    (directory.path / ".generations").chmod(0o555)
    (directory.path / ".generations" / "00000001").chmod(0o755)
    for name in (*DOCUMENTS, "meta.json"):
        (directory.path / name).chmod(0o644)
    with as_nobody(), pytest.raises(PermissionError) as caught:
        publish(directory, {"links.txt": b"new"})
    directory.path.chmod(0o755)
    (directory.path / ".generations").chmod(0o755)

    assert str(directory.path) in str(caught.value.filename)
    assert served(directory).items() >= DOCUMENTS.items()
    assert generations(directory) == ["00000001"]


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 kB."""
    place = tmp_path / "tiny"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("needs mount")
    if mounted.returncode != 0:
        pytest.skip(f"needs the right to mount: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="needs tmpfs")
def test_full_disk_leaves_what_is_served(tiny_disk: Path) -> None:
    """ENOSPC at any file: what is served stays, the half generation goes, room makes it work."""
    directory = PublicationDirectory(tiny_disk / "public")
    directory.prepare()
    publish(directory)
    large: dict[str, bytes] = {"links.txt": b"small", "xray.json": b"x" * 100_000}
    for _ in range(3):
        with pytest.raises(OSError) as caught:  # noqa: PT011 - the errno is asserted
            publish(directory, large)
        assert caught.value.errno == errno.ENOSPC

    assert served(directory).items() >= DOCUMENTS.items()
    assert generations(directory) == ["00000001"]
    assert publish(directory, {"links.txt": b"small"}).generation == 2


def test_directory_removed_at_run_time_is_made_again(directory: PublicationDirectory) -> None:
    """prepare() mends a directory that somebody removed; a write without it only fails."""
    publish(directory)
    shutil.rmtree(directory.path)
    assert directory.current() is None
    assert not directory.holds(DOCUMENTS)
    with pytest.raises(FileNotFoundError):
        publish(directory)
    directory.prepare()
    publish(directory)

    assert served(directory).items() >= DOCUMENTS.items()


# --- readers ----------------------------------------------------------------------------------


class Reader(threading.Thread):
    """Reads as nginx and as a careful client do, without a pause, and notes what is wrong."""

    def __init__(self, path: Path, known: set[bytes]) -> None:
        super().__init__(daemon=True)
        self.path = path
        self.known = known
        self.stop = threading.Event()
        self.wrong: list[str] = []
        self.rounds = 0
        self.numbers: list[int] = []

    def run(self) -> None:
        """Read until told to stop."""
        while not self.stop.is_set():
            self._read_by_name()
            self._read_generation()
            self.rounds += 1

    def _read_by_name(self) -> None:
        for name in DOCUMENTS:
            try:
                content = (self.path / name).read_bytes()
            except OSError as why:
                self.wrong.append(f"{name}: {why}")
            else:
                if content not in self.known:
                    self.wrong.append(f"{name}: {len(content)} bytes that nobody published")

    def _read_generation(self) -> None:
        place = os.open(self.path / ".current", os.O_RDONLY | os.O_DIRECTORY)
        try:
            meta = self._load(place)
        except OSError:
            return  # so slow that ten generations went by
        finally:
            os.close(place)
        self.numbers.append(meta["generation"])

    def _load(self, place: int) -> Any:
        def read(name: str) -> bytes:
            with open(name, "rb", opener=lambda n, flags: os.open(n, flags, dir_fd=place)) as file:
                return file.read()

        meta = json.loads(read("meta.json"))
        contents = {name: read(name) for name in meta["files"]}
        for name, content in contents.items():
            if hashlib.sha256(content).hexdigest() != meta["files"][name]["sha256"]:
                self.wrong.append(f"generation {meta['generation']}: {name} is of another one")
        if len(set(contents.values())) != 1:
            self.wrong.append(f"generation {meta['generation']}: its files differ")
        return meta


def test_readers_see_whole_generations_only(directory: PublicationDirectory) -> None:
    """Under fifty publications no read fails, and none sees half a file or two generations."""
    documents = [b"%06d" % number * (number * 37 % 5000 + 1) for number in range(51)]
    publish(directory, dict.fromkeys(DOCUMENTS, documents[0]))
    reader = Reader(directory.path, set(documents))
    reader.start()
    for document in documents[1:]:
        publish(directory, dict.fromkeys(DOCUMENTS, document))
    reader.stop.set()
    reader.join(10)

    assert reader.wrong == []
    assert reader.rounds > 10
    assert reader.numbers == sorted(reader.numbers)


def test_fsync_failing_behind_the_flip_removes_nothing(
    directory: PublicationDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the rename on the new generation is served: an error after it must not take it away."""
    publish(directory)
    real, calls = os.fsync, list[int]()

    def fsync(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").readlink() == directory.path:
            calls.append(descriptor)
            raise OSError(errno.EIO, "Input/output error", str(directory.path))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    new = {"links.txt": b"new", "xray.json": b"new"}
    with pytest.raises(OSError, match="Input/output"):
        publish(directory, new)

    assert calls
    assert directory.holds(new)
    assert (directory.path / "links.txt").read_bytes() == b"new"


def test_old_generation_that_cannot_be_removed(
    directory: PublicationDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new generation is live; leftovers are no reason to call it a failure."""
    for number in range(KEEP):
        publish(directory, {"links.txt": str(number).encode()})

    def rmtree(path: Path) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted", str(path))

    monkeypatch.setattr(shutil, "rmtree", rmtree)

    assert publish(directory, {"links.txt": b"new"}).generation == KEEP + 1
    assert (directory.path / "links.txt").read_bytes() == b"new"
