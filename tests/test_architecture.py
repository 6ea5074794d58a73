"""The house: which rooms are pure, and who may look into which room. Read from the imports."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "healthd"

PURE = [
    "healthd.endpoints",
    "healthd.model",
    "healthd.errors",
    "healthd.config",
    "healthd.fleet",
    "healthd.verdict",
    *(
        f"healthd.replay.{name}"
        for name in (
            *("running", "circulating", "judging", "comparing"),
            *("setting", "synthetic", "table"),
        )
    ),
    "healthd.publishing.about",
    "healthd.publishing.clash",
    "healthd.publishing.clash_limits",
    "healthd.publishing.clash_proxy",
    "healthd.publishing.files",
    "healthd.publishing.formats",
    "healthd.publishing.meta",
    "healthd.publishing.users",
    "healthd.publishing.singbox",
    "healthd.publishing.links",
    "healthd.engines.dialect",
    "healthd.publishing.xray",
    "healthd.engines.singbox_limits",
    "healthd.engines.carrying",
    "healthd.engines.dialect",
    "healthd.engines.reasons",
    "healthd.engines.singbox",
    "healthd.engines.singbox_outbound",
    "healthd.engines.xray",
    "healthd.engines.xray_limits",
    "healthd.engines.xray_outbound",
    "healthd.engines.socks",
]

# All that a pure room may use: nothing in here waits, reads, writes, or looks at a clock.
PURE_LIBRARIES = {
    *(
        "base64",
        "binascii",
        "collections",
        "dataclasses",
        "difflib",
        "enum",
        "functools",
        "hashlib",
    ),
    *("ipaddress", "itertools", "json", "math", "re", "string", "tomllib", "typing", "urllib"),
    *("array", "bisect", "datetime", "fnmatch", "statistics", "struct", "types", "zlib"),
    *("pydantic", "pydantic_core", "idna", "yaml"),
}
# `datetime` may turn seconds into words, but not ask what time it is.
IMPURE_NAMES = {"open", "print", "input", "exec", "eval", "breakpoint", "__import__"}
IMPURE_METHODS = {
    *("read_text", "read_bytes", "write_text", "write_bytes", "exists", "is_file", "is_dir"),
    *(
        "now",
        "utcnow",
        "today",
        "resolve",
        "stat",
        "mkdir",
        "unlink",
        "iterdir",
        "glob",
        "cwd",
        "home",
        "expanduser",
    ),
}

# From bottom to top; a room imports only what is listed before its line, or itself. The rooms of
# one line are on the same floor, and may know each other.
FLOORS = [
    {"__init__"},
    {"endpoints"},
    {"model"},
    {"errors"},
    {"fleet"},
    {"config", "http_client"},
    {"verdict"},
    {"sourcing"},
    {"engines"},
    {"publishing"},
    {"probing"},
    {"overriding"},
    {"observing"},
    {"serving"},
    {"store", "replay"},
    {"startup", "oneshot", "watching", "accounting"},
    {"desk"},
    {"factory", "reporting", "signals"},
    {"reloading"},
    {"daemon"},
    {"demo"},
    {"cli"},
    {"__main__"},
]


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8"), name) for name, path in MODULES.items()}
PURE_MODULES = [
    name for name in MODULES if any(name == room or name.startswith(f"{room}.") for room in PURE)
]


def imports_in(tree: ast.AST) -> Iterator[str]:
    """Every module that is imported anywhere in the tree, by its full name."""
    for part in ast.walk(tree):
        if isinstance(part, ast.Import):
            yield from (alias.name for alias in part.names)
        elif isinstance(part, ast.ImportFrom):
            assert part.level == 0, "relative imports would be invisible here"
            assert part.module is not None
            for alias in part.names:
                full = f"{part.module}.{alias.name}"
                yield full if full in MODULES else part.module


def room_of(module: str) -> str:
    """The room a module of ours lies in: the first name behind the package's."""
    return [*module.split("."), "__init__"][1]


def floor_of(room: str) -> int:
    (floor,) = (number for number, rooms in enumerate(FLOORS) if room in rooms)
    return floor


def ours(module: str) -> bool:
    return module.split(".", maxsplit=1)[0] == "healthd"


def test_the_house_is_read():
    """All rooms are there: the tests below look at something."""
    rooms = {room_of(name) for name in MODULES}

    assert rooms == set().union(*FLOORS)
    assert all(any(name == p or name.startswith(f"{p}.") for name in MODULES) for p in PURE)
    assert any(module == "trio" for module in imports_in(TREES["healthd.daemon"]))


@pytest.mark.parametrize("module", PURE_MODULES)
class TestPurity:
    def test_libraries(self, module):
        """A pure room does no I/O, knows no clock and no chance: its libraries cannot."""
        foreign = {name.split(".")[0] for name in imports_in(TREES[module]) if not ours(name)}
        # Configuration holds paths as values; that it does not touch them is tested below.
        allowed = PURE_LIBRARIES | ({"pathlib"} if module.startswith("healthd.config") else set())

        assert set() == foreign - allowed

    def test_urllib(self, module):
        """Of urllib only the parser is pure."""
        parts = {name for name in imports_in(TREES[module]) if name.startswith("urllib")}

        assert set() == parts - {"urllib.parse"}

    def test_neighbours(self, module):
        """What a pure room imports of ours is pure as well, down to the packages it lies in."""
        mine = {name for name in imports_in(TREES[module]) if ours(name)}
        packages = {name.rpartition(".")[0] for name in {module, *mine}} - {"", "healthd"}
        behind = {found for package in packages for found in imports_in(TREES[package])}
        behind = {found for found in behind if ours(found)}

        assert set() == {name for name in mine | behind if name not in PURE_MODULES}

    def test_built_ins(self, module):
        """Nor does it open, print or look at files by the names that need no import."""
        called = {
            part.func.id if isinstance(part.func, ast.Name) else part.func.attr
            for part in ast.walk(TREES[module])
            if isinstance(part, ast.Call) and isinstance(part.func, ast.Name | ast.Attribute)
        }

        assert set() == called & (IMPURE_NAMES | IMPURE_METHODS)

    def test_nothing_waits(self, module):
        """There is no ``async`` in a pure room."""
        waiting = (ast.AsyncFunctionDef, ast.AsyncWith, ast.AsyncFor, ast.Await)

        assert [part for part in ast.walk(TREES[module]) if isinstance(part, waiting)] == []


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module):
    """A room knows only the rooms below it."""
    mine = room_of(module)
    below = set().union(*FLOORS[: floor_of(mine) + 1])

    known = {room_of(name) for name in imports_in(TREES[module]) if ours(name)}
    assert set() == known - below


def test_nobody_knows_the_demo():
    """The stage is for the command line only, which goes there when it is asked to."""
    friends = {
        name
        for name, tree in TREES.items()
        if room_of(name) != "demo"
        and any(ours(found) and room_of(found) == "demo" for found in imports_in(tree))
    }
    at_import = {
        found
        for statement in TREES["healthd.cli"].body
        if isinstance(statement, ast.Import | ast.ImportFrom)
        for found in imports_in(statement)
    }

    assert {"healthd.cli"} == friends
    assert at_import
    assert "demo" not in {room_of(found) for found in at_import if ours(found)}


def test_modules_import_no_testing():
    """Nothing that is shipped needs what only tests need."""
    tools = {"pytest", "hypothesis", "tests", "unittest", "coverage", "mypy"}
    found = {name.split(".")[0] for tree in TREES.values() for name in imports_in(tree)}

    assert found
    assert set() == found & tools
