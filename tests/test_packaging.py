# SPDX-License-Identifier: Apache-2.0
"""`kernels/` at the top of the repository is installed as `philinit.kernels`, whole."""

import configparser
import importlib.metadata
import importlib.resources
import re
import shutil
import tomllib
import zipfile

import pytest

from tests.support.paths import ROOT, SOURCES
from tests.support.processes import run_module, run_python

pytestmark = pytest.mark.skipif(
    not (ROOT / "setup.cfg").is_file(), reason="runs in a checkout: there is no setup.cfg"
)


def setup_cfg():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    return config


def pyproject():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def packages_on_disk():
    """Dotted name of each folder that holds Python files, below src/philinit and kernels."""
    found = {}
    for top, folder in SOURCES.items():
        for path in folder.rglob("*.py"):  # rglob follows no links: an editor's link is no package
            parts = path.parent.relative_to(folder).parts
            found[".".join((top, *parts))] = path.parent
    return found


def sources():
    """The files that the wheel must hold, by their name inside it."""
    names = {}
    for dotted, folder in packages_on_disk().items():
        for path in folder.iterdir():
            if path.suffix in {".py", ".typed", ".cu", ".cuh"}:
                names["/".join((*dotted.split("."), path.name))] = path
    return names


def test_the_package_list_is_what_lies_on_disk():
    listed = setup_cfg()["options"]["packages"].split()
    assert sorted(listed) == sorted(packages_on_disk())
    assert len(set(listed)) == len(listed)


def test_each_package_has_an_init_file():
    missing = [
        name for name, path in packages_on_disk().items() if not (path / "__init__.py").is_file()
    ]
    assert missing == []


def test_each_pattern_of_package_data_matches_a_file():
    folders = packages_on_disk()
    for package, patterns in setup_cfg()["options.package_data"].items():
        for pattern in re.split(r"[,\s]+", patterns.strip()):
            assert list(folders[package].glob(pattern)), f"{package}: nothing matches {pattern}"


def test_kernels_cannot_be_imported_by_the_name_of_their_folder():
    done = run_python("import kernels", check=False)
    assert done.returncode == 1
    assert (
        "ImportError: this folder is installed as 'philinit.kernels'; do not import it as 'kernels'"
        in done.stderr
    )


def test_resources_are_found_at_their_own_package():
    text = importlib.resources.files("philinit.kernels") / "README.md"
    assert text.is_file()


def test_the_version_is_one_plain_string():
    import philinit

    assert re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc|\.dev)\d+)?", philinit.__version__)
    assert importlib.metadata.version("philinit") == philinit.__version__
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {philinit.__version__} " in changelog


def test_the_core_needs_numpy_numba_and_ml_dtypes_only():
    names = {re.match(r"[\w-]+", line)[0] for line in pyproject()["project"]["dependencies"]}
    assert names == {"numpy", "numba", "ml_dtypes"}


def test_each_extra_named_in_an_error_exists():
    extras = set(pyproject()["project"]["optional-dependencies"])
    assert extras >= {
        "tensorflow",
        "keras",
        "cuda12",
        "cuda13",
        "torch",
        "jax",
        "cli",
        "plot",
        "bench",
        "docs",
        "test",
        "dev",
    }
    named = {
        extra
        for path in sources().values()
        for extra in re.findall(r"philinit\[(\w+)\]", path.read_text(encoding="utf-8"))
    }
    assert named <= extras


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel built from a copy of the tree, so that nothing is left in the checkout."""
    setuptools = pytest.importorskip("setuptools", reason="setuptools is not installed")
    if int(setuptools.__version__.partition(".")[0]) < 77:
        pytest.skip(f"the build needs setuptools >= 77; {setuptools.__version__} is installed")
    copy = tmp_path_factory.mktemp("tree") / "philinit"
    copy.mkdir()
    for name in ("pyproject.toml", "setup.cfg", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for name in ("src", "kernels"):
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    if (link := copy / "src" / "philinit" / "kernels").exists():  # an editor's link, not ours
        shutil.rmtree(link)
    target = copy.parent / "wheels"
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", target, copy]
    run_module("pip", "wheel", *options, env={"PIP_DISABLE_PIP_VERSION_CHECK": 1})
    (built,) = target.glob("philinit-*.whl")
    return built


def test_the_wheel_holds_every_source_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    code = {name for name in names if ".dist-info/" not in name}
    assert code == set(sources()) | {
        "philinit/kernels/README.md",
        "philinit/tools/selftest/golden.json",
    }
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_wheel_imports_away_from_the_checkout(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import philinit, philinit.kernels.cpu as cpu, importlib.resources as r\n"
        "assert philinit.__file__.startswith(sys.argv[1]), philinit.__file__\n"
        "assert cpu.__file__.startswith(sys.argv[1]), cpu.__file__\n"
        "assert (r.files('philinit.kernels') / 'README.md').is_file()\n"
    )
    run_python(code, tmp_path / "site", cwd=tmp_path)
