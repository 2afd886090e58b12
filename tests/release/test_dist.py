# SPDX-License-Identifier: Apache-2.0
"""What is uploaded: the same bytes from each build, whole, and typed for those who install it."""

import shutil
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from tests.release import dist
from tests.support.paths import ROOT
from tests.support.processes import run

if not (ROOT / ".git").exists() or not shutil.which("git"):
    pytest.skip("needs a checkout and git", allow_module_level=True)
pytest.importorskip("setuptools", minversion="77")

# Of the checkout alone: what runs there, and results that would be most of the sdist.
LEFT_OUT = (".github/", ".ci/", ".gitignore", "benchmarks/results/")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return dist.build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def python(built, tmp_path_factory):
    """Python of an environment with the wheel, and with what it needs from this one."""
    folder = tmp_path_factory.mktemp("user")
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    found = run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"])
    site = found.stdout.strip()
    zipfile.ZipFile(built[1]).extractall(site)
    with open(f"{site}/these.pth", "w", encoding="utf-8") as paths:
        paths.write(sysconfig.get_path("purelib"))
    return python


def test_two_builds_are_the_same_bytes(built, tmp_path, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    assert dist.digests(dist.build(tmp_path)) == dist.digests(built)


def test_the_sdist_holds_all_that_is_committed(built):
    with tarfile.open(built[0]) as files:
        held = {name.partition("/")[2] for name in files.getnames()}
    committed = dist.git("ls-files", "-z").decode().split("\0")[:-1]
    assert {name for name in committed if not name.startswith(LEFT_OUT)} <= held
    assert not any("__pycache__" in name or name.startswith("build/") for name in held)


def test_the_readmes_first_example_runs_where_the_wheel_is_installed(python, tmp_path):
    where = run([python, "-I", "-c", "import philinit; print(philinit.__file__)"], cwd=tmp_path)
    assert str(python.parents[1]) in where.stdout
    run([python, "-I", "-W", "error", "-c", dist.first_example()], cwd=tmp_path)


WRONG = 'wrong: int = pi.Key.from_seed("seven")'


def complaints(checker, python, folder):
    """What a type checker has to say of tests/release/user.py, and of that with a line more."""
    good = (ROOT / "tests" / "release" / "user.py").read_text(encoding="utf-8")
    for name, text in (("good", good), ("wrong", f"{good}{WRONG}\n")):
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return [
        run([*checker, python, folder / f"{name}.py"], cwd=folder, check=False).stdout
        for name in ("good", "wrong")
    ]


def test_mypy_knows_the_types_of_what_is_installed(python, tmp_path):
    pytest.importorskip("mypy")
    mypy = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--cache-dir",
        tmp_path,
        "--python-executable",
    ]
    good, wrong = complaints(mypy, python, tmp_path)
    assert good == "Success: no issues found in 1 source file\n"
    assert 'has incompatible type "str"; expected "int | None"' in wrong
    assert 'expression has type "Key", variable has type "int"' in wrong


def test_pyright_knows_the_types_of_what_is_installed(python, tmp_path):
    pyright = Path(sys.executable).with_name("basedpyright")
    if not pyright.exists():
        pytest.skip("basedpyright is not installed")
    (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}')
    good, wrong = complaints([pyright, "--pythonpath"], python, tmp_path)
    assert "0 errors" in good, good
    assert '"Key" is not assignable to "int"' in wrong
