# SPDX-License-Identifier: Apache-2.0
"""The tests with the lowest and the highest versions of what pyproject.toml declares.

`make versions` runs all sets, `make versions ARGS="lowest jax"` some. Each has an environment of
its own in build/versions, made anew by uv, which also looks for the Python, and removed again where
all has passed. `--keep` keeps it.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tomllib
from typing import NamedTuple

from tests.support.paths import ROOT

FOLDER = ROOT / "build" / "versions"
FAST = ("-m", "not slow and not gpu")
# What needs none of the frameworks. Tests that have something of theirs to compare with skip.
CORE = (
    *("tests/cli", "tests/files", "tests/filling", "tests/initializers", "tests/kernels"),
    *("tests/parts", "tests/tools", "tests/test_imports.py", "tests/test_keys.py", *FAST),
)
FRAMEWORKS = re.compile(r"tensorflow|keras|torch|jax|cupy|nvidia|philinit|setuptools")


class Set(NamedTuple):
    """Which tests run with what."""

    python: str
    lowest: bool
    extras: tuple[str, ...]
    tests: tuple[str, ...]


SETS = {
    "lowest": Set("3.11", True, (), CORE),
    "3.11": Set("3.11", False, (), CORE),
    "3.12": Set("3.12", False, (), CORE),
    "3.13": Set("3.13", False, (), CORE),
    "tensorflow": Set("3.11", True, ("tensorflow",), ("tests/tensorflow", "tests/tf1", *FAST)),
    "keras": Set("3.11", True, ("keras",), ("tests/keras", *FAST)),
    "torch": Set("3.11", True, ("torch",), ("tests/torch",)),
    "jax": Set("3.11", True, ("jax", "jax-test"), ("tests/jax",)),
}


def requirements(extras):
    """What philinit, these extras and the tests' own tools need, as pyproject.toml has it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    tools = [line for name in ("cli", "plot", "bench", "test") for line in optional[name]]
    found = [*project["dependencies"], *(line for name in extras for line in optional[name])]
    return [*found, *(line for line in tools if not FRAMEWORKS.match(line))]


def uv(*arguments):
    subprocess.run([sys.executable, "-m", "uv", *arguments], check=True, cwd=ROOT)


def run(name):
    """Make the environment of a set, run its tests: pytest's exit code."""
    wanted, folder = SETS[name], FOLDER / name
    uv("venv", "--quiet", "--clear", "--python", wanted.python, folder)
    install = ("pip", "install", "--quiet", "--python", folder)
    resolution = "lowest-direct" if wanted.lowest else "highest"
    uv(*install, "--resolution", resolution, *requirements(wanted.extras))
    uv(*install, "--no-deps", "--editable", ".")
    uv("pip", "list", "--quiet", "--python", folder)
    command = [folder / "bin" / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    if wanted.lowest:  # old versions have warnings for each other
        command += ["-W", "default::DeprecationWarning"]
    env = {**os.environ, "PHILINIT_CACHE_DIR": str(folder / "kernels")}
    return subprocess.run([*command, *wanted.tests], cwd=ROOT, env=env, check=False).returncode


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "sets", nargs="*", choices=[*SETS, []], metavar="SET", help=f"of {', '.join(SETS)}"
    )
    parser.add_argument("--keep", action="store_true", help="keep the environments")
    arguments = parser.parse_args()
    failed = []
    for name in arguments.sets or SETS:
        print(f"== {name}", flush=True)
        if run(name):
            failed.append(name)
        elif not arguments.keep:
            shutil.rmtree(FOLDER / name)
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
