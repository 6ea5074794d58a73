"""The publisher dies at each of its system calls, or is refused it; readers never notice.

A child process publishes under strace. Its calls are counted once; then, for each of them, it runs
again on a copy of the same directory and is killed on entering that call, which is then not carried
out. It has one thread: a death before a call is also the death right after the one before it, and
the mark behind the last call ends the row. In other runs the call fails instead. After each of them
an independent reader looks at what a web server would find, and the daemon's next start must mend
the rest. The disk is a real one; what a power cut would leave on it is another matter.
"""

import base64
import hashlib
import json
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import healthd
from healthd.publishing.directory import KEEP, PublicationDirectory
from tests.publishing import publish_once

Documents = Mapping[str, bytes]

NOW = 1e9
"""The clock stands still: the time of modification must rise all the same."""

ROOT = Path(healthd.__file__).parents[1]
PUBLISHER = Path(publish_once.__file__)
MARKS = "?access,?faccessat,?faccessat2"
MEMORY = {"brk", "mmap", "munmap", "mremap", "madvise"}
"""Left out: they vary from run to run, and to the disk a death there is one at the next call."""


# --- what is published --------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A directory with its generations, the last of them served, and the documents to come."""

    before: Sequence[Documents]
    after: Documents
    leftovers: bool = False
    """Whether another publisher died there."""

    @property
    def old(self) -> Documents:
        """What is served at first."""
        return self.before[-1] if self.before else {}


OLD = {"links.txt": b"b25l\n", "xray.json": b"[1]\n"}
NEW = {"links.txt": b"dHdv\n", "xray.json": b"[2]\n"}
OTHER_FORMATS = {"links.txt": b"dHdv\n", "clash.yaml": b"proxies: []\n", "sing-box.json": b"{}\n"}
ANNA, BEN = "f3b1c7d9e0a24586f3b1c7d9e0a24586", "Zm9vYmFyYmF6cXV4MTIzNA"
USERS = {
    f"{name}/{file}": f"{name[:4]} {file}".encode()
    for name in (ANNA, BEN)
    for file in ("links.txt", "clash.yaml")
}
CHANGED = {**USERS, f"{BEN}/links.txt": b"new", f"{BEN}/clash.yaml": b"new: 1\n"}
LEFT = {name: content for name, content in CHANGED.items() if ANNA not in name}
TEN = [{"links.txt": b"%d\n" % number, "xray.json": b"[]\n"} for number in range(KEEP)]

CASES = {
    "first generation": Case([], NEW),
    "next generation": Case([OLD], NEW),
    "other formats": Case([OLD], OTHER_FORMATS, leftovers=True),
    "eleventh generation": Case(TEN, NEW),
    "one of two users changes": Case([USERS], CHANGED),
    "one user leaves": Case([USERS], LEFT, leftovers=True),
    "users come": Case([OLD], USERS),
}


def publish(directory: PublicationDirectory, documents: Documents) -> int:
    """Publish as the child does; give the generation's number."""
    about = {"publication": "main"}
    return directory.publish(documents, nodes=["a"], about=about, now=NOW).generation


def set_up(case: Case, path: Path) -> None:
    """Make the directory as the publisher finds it."""
    if case.before:
        directory = PublicationDirectory(path)
        directory.prepare()
        for documents in case.before:
            publish(directory, documents)
    if case.leftovers:
        half = path / ".generations" / f".{len(case.before) + 1:08d}.tmp"
        half.mkdir()
        (half / "links.txt").touch(0o640)
        (path / ".current.tmp").symlink_to(".generations/00000099")
        (path / ".clash.yaml.tmp").symlink_to(".current/clash.yaml")


# --- what a reader finds ------------------------------------------------------------------------


@dataclass
class Seen:
    """What is being served, and everything that is wrong."""

    generation: int = 0
    """0: nothing is being served."""
    documents: Documents = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    modified: int = 0
    times: dict[str, int] = field(default_factory=dict)
    """Of each document."""
    wrong: list[str] = field(default_factory=list)


def look(path: Path) -> Seen:
    """Read as a web server does: by stable names, through the one link, into one generation."""
    seen = Seen()
    if not path.exists():
        return seen
    seen.names = {name for name in _entries(path) if not name.startswith(".")}
    for name in sorted(seen.names):
        if str((path / name).readlink()) != f".current/{name}":
            seen.wrong.append(f"{name} leads past .current")
        if not (path / name).exists():
            seen.wrong.append(f"{name} leads nowhere")
    for place in (path / ".generations").glob("[0-9]*"):  # an older one may be wanted back
        _read_generation(place, Seen(wrong=seen.wrong))
    if (path / ".current").is_symlink():
        _read_generation(path / (path / ".current").readlink(), seen)
    return seen


def _entries(path: Path) -> list[str]:
    return [each.name for each in path.iterdir()]


def _files(place: Path) -> list[str]:
    return [str(each.relative_to(place)) for each in place.rglob("*") if not each.is_dir()]


def _read_generation(place: Path, seen: Seen) -> None:
    """Hold a generation's files against its meta.json."""
    try:
        content = {name: (place / name).read_bytes() for name in _files(place)}
        meta = json.loads(content.pop("meta.json"))
    except (OSError, KeyError, ValueError) as why:
        seen.wrong.append(f"generation {place.name} cannot be read: {why!r}")
        return
    seen.generation, seen.documents = meta["generation"], content
    seen.modified = int((place / "meta.json").stat().st_mtime)
    seen.times = {name: int((place / name).stat().st_mtime) for name in content}
    hashes = {name: hashlib.sha256(document).hexdigest() for name, document in content.items()}
    files = {
        name: {"sha256": hashes[name], "bytes": len(document)}
        for name, document in content.items()
        if "/" not in name
    }
    in_folders = "".join(sorted(hashes[name] for name in content if "/" in name))
    folders = hashlib.sha256(in_folders.encode()).hexdigest() if in_folders else None
    told = meta["files"], meta.get("folders", {}).get("sha256"), f"{meta['generation']:08d}"
    if told != (files, folders, place.name):
        seen.wrong.append(f"generation {place.name} is not what its meta.json tells")


def names_of(documents: Documents) -> set[str]:
    """The stable names of a generation; where nothing is served there are none."""
    return {name.partition("/")[0] for name in (*documents, "meta.json")} if documents else set()


def look_after(case: Case, path: Path) -> Seen:
    """See that one complete generation is served, the old one or the new one.

    While formats change, a name that only one of the two has may be missing; none leads nowhere.
    """
    seen, number = look(path), len(case.before)
    served = {number: case.old, number + 1: case.after}.get(seen.generation)
    if served is None or seen.documents != served:
        seen.wrong.append(f"generation {seen.generation} is served, with {seen.documents}")
        return seen
    both = names_of(case.old) & names_of(case.after)
    if not both <= seen.names <= names_of(served):
        seen.wrong.append(f"{sorted(seen.names)} are not the names of {seen.generation}")
    if seen.generation > number > 0:
        before = Seen()
        _read_generation(path / ".generations" / f"{number:08d}", before)
        if seen.modified < before.modified + 1:
            seen.wrong.append("the time of modification has not risen")
        seen.wrong += _wrong_times(before, seen)
    seen.wrong += [f"{each} is for everybody to read" for each in _open_files(path)]
    return seen


def _wrong_times(before: Seen, after: Seen) -> list[str]:
    """A changed document's time rises; that of an unchanged one stays, or rises too.

    It rises when the old file could not be read: that costs a download, and nothing else.
    """
    wrong = []
    for name in before.documents.keys() & after.documents.keys():
        changed = before.documents[name] != after.documents[name]
        if after.times[name] < before.times[name] + changed:
            wrong.append(f"{name} has the time of other bytes")
    return wrong


def _open_files(path: Path) -> list[str]:
    """Files with something in them, served or not, that strangers may read: they hold secrets."""
    files = (each.lstat() for each in path.rglob("*") if each.is_file() and not each.is_symlink())
    return [oct(each.st_mode) for each in files if each.st_mode & 0o007 and each.st_size]


def go_on(path: Path, documents: Documents, before: Seen) -> list[str]:
    """Publish the same if need be, and then something else: both must come out exactly."""
    directory = PublicationDirectory(path)
    published = before.generation
    if not directory.holds(documents):
        published = publish(directory, documents)
        if published <= before.generation:
            return [f"generation {published} after {before.generation}"]
    again = _look_for(path, documents, published)
    if publish(directory, {"links.txt": b"another"}) != published + 1:
        again.wrong.append("a number was left out")
    last = _look_for(path, {"links.txt": b"another"}, published + 1)
    if not before.modified <= again.modified < last.modified:
        last.wrong.append("the time of modification does not rise")
    return again.wrong + last.wrong


def _look_for(path: Path, documents: Documents, number: int) -> Seen:
    seen = look(path)
    found = seen.generation, seen.documents, seen.names
    if found != (number, documents, names_of(documents)):
        seen.wrong.append(f"{number} with {sorted(documents)} was to be served, not {found}")
    return seen


def leftovers(path: Path) -> list[str]:
    """What belongs to no generation; and generations, when they are too many."""
    hidden = {name for name in _entries(path) if name.startswith(".")}
    generations = _entries(path / ".generations")
    odd = hidden - {".current", ".generations"} | {each for each in generations if each[0] == "."}
    return sorted(odd) + ([] if len(generations) <= KEEP else generations)


# --- strace -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def strace(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A strace that may watch our children."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed (Debian: strace)")
    record = tmp_path_factory.mktemp("strace") / "record"
    command = ["strace", "-f", "-o", str(record), "true"]
    tried = subprocess.run(command, capture_output=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"strace may not watch its child: {tried.stderr.decode().strip()}")


@dataclass(frozen=True)
class Call:
    """One system call of the publisher."""

    name: str
    nth: int
    """Which of this name it is, since the process began."""
    index: int
    """Which of this name it is, since publishing began."""


def run_traced(case: Case, path: Path, *options: str) -> tuple[int, list[str]]:
    """Let the publisher run; give how it ended, and its calls, one a line, since it began."""
    record = path.with_suffix(".strace")
    documents = {name: base64.b64encode(content).decode() for name, content in case.after.items()}
    publisher = [sys.executable, "-I", "-S", "-B", str(PUBLISHER)]
    arguments = [str(ROOT), str(path), json.dumps(documents)]
    command = ["strace", "-f", "-o", str(record), *options, *publisher, *arguments]
    ended = subprocess.run(command, env={}, capture_output=True, check=False, timeout=60)
    assert ended.returncode != 1, ended.stderr.decode()  # a bug; or what strace does not like
    lines = (line.partition(" ")[2].lstrip() for line in record.read_text().splitlines())
    return ended.returncode, [line for line in lines if re.match(r"\w+\(", line)]


def count_calls(case: Case, path: Path) -> list[Call]:
    """The calls of an undisturbed publisher, between its marks; the last is the mark at the end."""
    ended, lines = run_traced(case, path, "-e", "trace=all")
    assert ended == publish_once.PUBLISHED
    begin, end = (_find(mark, lines) for mark in (publish_once.BEGIN, publish_once.END))
    names = [_name(line) for line in lines]
    before = Counter(names[: begin + 1])
    calls = []
    for at in range(begin + 1, end + 1):
        index = names[begin + 1 : at + 1].count(names[at])
        calls.append(Call(names[at], before[names[at]] + index, index))
    return [call for call in calls if call.name not in MEMORY]


def _find(mark: str, lines: Sequence[str]) -> int:
    """The place of a mark; behind everything when it is not there."""
    return next((at for at, line in enumerate(lines) if f'"{mark}"' in line), len(lines))


def _name(line: str) -> str:
    return line.partition("(")[0]


def strike(case: Case, path: Path, call: Call, blow: str) -> int:
    """Run the publisher, with a blow on one of its calls; give how it ended.

    How much an interpreter does before it comes to its program can differ from run to run: a run in
    which the blow fell on another call does not count.
    """
    inject = f"inject={call.name}:{blow}:when={call.nth}"
    options = ["-e", f"trace={MARKS},{call.name}", "-e", inject]
    if blow.startswith("error"):
        options.append("--seccomp-bpf")  # faster, but with it signals get lost
    for _ in range(5):
        shutil.rmtree(path, ignore_errors=True)
        _copy_template(path)
        ended, lines = run_traced(case, path, *options)
        published = lines[_find(publish_once.BEGIN, lines) + 1 :]
        same = [line for line in published if _name(line) == call.name]
        if [at for at, line in enumerate(same, 1) if _is_struck(line)] == [call.index]:
            return ended
    raise AssertionError(f"no blow fell on {call}")


def _is_struck(line: str) -> bool:
    """Whether a call never came back, or was refused by strace."""
    return line.endswith(("= ?", "(INJECTED)"))


def _copy_template(path: Path) -> None:
    template = path.parent / "template"
    if template.exists():  # the first generation's publisher finds nothing at all
        shutil.copytree(template, path, symlinks=True)


def strike_each(
    case: Case, folder: Path, blow: str, check: Callable[[Path, int], list[str]]
) -> dict[str, list[str]]:
    """Run the publisher once for each call, two at a time; give what was wrong after which."""
    set_up(case, folder / "template")
    _copy_template(folder / "counted")
    calls = count_calls(case, folder / "counted")
    assert {"fsync", "write", "close"} < {call.name for call in calls}
    assert len(calls) > 80

    def strike_one(at: int) -> list[str]:
        path = folder / str(at)
        wrong = check(path, strike(case, path, calls[at], blow))
        shutil.rmtree(path)
        return wrong

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(strike_one, range(len(calls))))
    return {f"{at} {calls[at]}": wrong for at, wrong in enumerate(results) if wrong}


# --- the runs -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize(
    "name",
    [
        pytest.param("first generation", marks=pytest.mark.slow),
        pytest.param("next generation", marks=pytest.mark.slow),
        "other formats",
        "eleventh generation",
        "one of two users changes",
        pytest.param("one user leaves", marks=pytest.mark.slow),
        pytest.param("users come", marks=pytest.mark.slow),
    ],
)
def test_killed_at_each_call(name: str, tmp_path: Path) -> None:
    """Wherever it dies, one complete generation is served, and the next start mends the rest."""
    case, generations = CASES[name], set()

    def check(path: Path, ended: int) -> list[str]:
        assert ended == -signal.SIGKILL
        seen = look_after(case, path)
        generations.add(seen.generation)
        directory = PublicationDirectory(path)
        directory.prepare()
        directory.sweep()
        return seen.wrong + go_on(path, case.after, seen) + leftovers(path)

    assert strike_each(case, tmp_path, "signal=SIGKILL", check) == {}
    assert generations == {len(case.before), len(case.before) + 1}


@pytest.mark.slow
@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("error", ["EIO", "ENOSPC", "EACCES"])
def test_refused_each_call(name: str, error: str, tmp_path: Path) -> None:
    """Whatever fails: it tells, or has published; what is served is whole; the next one works."""
    refuse_each(CASES[name], error, tmp_path)


@pytest.mark.usefixtures("strace")
def test_refused_each_call_while_formats_change(tmp_path: Path) -> None:
    """The same, where there is most to take back: names that went are there again."""
    refuse_each(CASES["other formats"], "EIO", tmp_path)


def refuse_each(case: Case, error: str, folder: Path) -> None:
    """Let each call fail in its turn, and look after each."""
    ends = set()

    def check(path: Path, ended: int) -> list[str]:
        ends.add(ended)
        seen = look_after(case, path)
        old = seen.generation == len(case.before)
        if ended == publish_once.PUBLISHED and (old or seen.names != names_of(case.after)):
            seen.wrong.append("it was said to be published")
        if old and seen.names != names_of(case.old):
            seen.wrong.append("names are missing though nothing has changed")
        if old and (path / ".generations" / f"{seen.generation + 1:08d}").exists():
            seen.wrong.append("it has left a generation that nobody serves")
        directory = PublicationDirectory(path)
        directory.prepare()
        wrong = seen.wrong + go_on(path, case.after, seen)
        directory.sweep()
        return wrong + leftovers(path)

    assert strike_each(case, folder, f"error={error}", check) == {}
    assert ends == {publish_once.PUBLISHED, publish_once.FAILED}
