# SPDX-License-Identifier: Apache-2.0
"""The cache of machine code: what is in it is run, so nobody else may have put it there."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from philinit.kernels import cache

CODE = b"machine code" * 100

pytestmark = pytest.mark.skipif(os.name != "posix", reason="owners and modes of POSIX")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PHILINIT_CACHE_DIR", str(tmp_path / "a" / "cache"))
    return tmp_path / "a" / "cache"


def test_what_was_kept_comes_back_and_the_folder_is_private(folder: Path) -> None:
    assert cache.cached("x.o") is None
    assert cache.trouble() == ""
    cache.keep("x.o", CODE)
    assert cache.cached("x.o") == CODE
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "x.o").stat().st_mode) == 0o644
    assert [path.name for path in folder.iterdir()] == ["x.o"]


def test_the_checksum_covers_the_name(folder: Path) -> None:
    cache.keep("one.o", CODE)
    (folder / "other.o").write_bytes((folder / "one.o").read_bytes())
    assert cache.cached("other.o") is None


@pytest.mark.parametrize("mode", [0o777, 0o720, 0o702])
def test_a_folder_that_others_may_write_is_not_used(folder: Path, mode: int) -> None:
    cache.keep("x.o", CODE)
    folder.chmod(mode)
    assert cache.cached("x.o") is None
    assert "nobody else may write there: chmod go-w" in cache.trouble()
    cache.keep("y.o", CODE)
    assert not (folder / "y.o").exists()


@pytest.mark.parametrize("mode", [0o666, 0o620, 0o602])
def test_a_file_that_others_may_write_is_not_used(folder: Path, mode: int) -> None:
    cache.keep("x.o", CODE)
    (folder / "x.o").chmod(mode)
    assert cache.cached("x.o") is None


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_another_user_owns_is_not_used(folder: Path, what: str) -> None:
    cache.keep("x.o", CODE)
    os.chown(folder if what == "folder" else folder / "x.o", 12345, 12345)
    assert cache.cached("x.o") is None


def test_links_and_pipes_are_not_followed(folder: Path, tmp_path: Path) -> None:
    cache.keep("x.o", CODE)
    (folder / "x.o").rename(tmp_path / "x.o")
    (folder / "x.o").symlink_to(tmp_path / "x.o")
    assert cache.cached("x.o") is None
    os.mkfifo(folder / "pipe.o", 0o600)
    assert cache.cached("pipe.o") is None  # and does not wait for somebody to write


def test_a_relative_cache_home_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PHILINIT_CACHE_DIR", raising=False)
    monkeypatch.setattr(cache.sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "somewhere")
    monkeypatch.setenv("HOME", "/home/me")
    assert cache.cache_folder() == Path("/home/me/.cache/philinit")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache/me")
    assert cache.cache_folder() == Path("/var/cache/me/philinit")


def test_without_a_home_nothing_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("PHILINIT_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(cache.sys, "platform", "linux")
    monkeypatch.setattr(cache.os.path, "expanduser", lambda path: path)
    monkeypatch.chdir(tmp_path)
    assert cache.cache_folder() is None
    cache.keep("x.o", CODE)
    assert cache.cached("x.o") is None and list(tmp_path.iterdir()) == []
    assert "no home folder" in cache.trouble()
