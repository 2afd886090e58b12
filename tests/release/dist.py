# SPDX-License-Identifier: Apache-2.0
"""The wheel and the sdist of the last commit, the same bytes each time they are built.

`python -m tests.release.dist FOLDER` (`make dist`: dist/) builds them twice, and installs them away
from here. Time stamps are the commit's; of what builds, only setuptools and zlib show in the bytes.
"""

import ast
import gzip
import os
import re
import subprocess
import sys
import tarfile
import venv
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.paths import ROOT
from tests.support.processes import run

BUILD = "import sys; from setuptools.build_meta import {0}; {0}(sys.argv[1])"


def git(*arguments):
    return subprocess.run(["git", "-C", ROOT, *arguments], check=True, capture_output=True).stdout


def unpack(archive, folder):
    with tarfile.open(archive) as files:
        files.extractall(folder, filter="data")


def call(hook, tree, out, when):
    """Have the build backend make one file, as pip has it, in the environment that there is."""
    before = os.umask(0o022)  # modes go into the wheel
    env = {"SOURCE_DATE_EPOCH": when, "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    run([sys.executable, "-c", BUILD.format(hook), out], cwd=tree, env=env)
    os.umask(before)


def normalize(sdist, when):
    """Take from an sdist what setuptools leaves in it of the day, the user and the file system."""
    whole = sdist.with_suffix(".new")
    with (
        tarfile.open(sdist) as old,
        whole.open("wb") as raw,
        gzip.GzipFile("", "wb", 9, raw, mtime=when) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as new,
    ):
        for member in sorted(old.getmembers(), key=lambda member: member.name):
            if member.isfile():
                kept = tarfile.TarInfo(member.name)
                kept.size, kept.mtime = member.size, when
                kept.mode = 0o755 if member.mode & 0o100 else 0o644
                new.addfile(kept, old.extractfile(member))
    whole.replace(sdist)


def build(out):
    """The sdist of the last commit, and the wheel that is made of it: their paths in `out`."""
    out.mkdir(parents=True, exist_ok=True)
    when = int(git("log", "-1", "--format=%ct"))
    with TemporaryDirectory() as name:
        archive, tree, again = (Path(name, part) for part in ("tree.tar", "tree", "again"))
        archive.write_bytes(git("archive", "--format=tar", "HEAD"))
        unpack(archive, tree)
        call("build_sdist", tree, out.resolve(), when)
        (sdist,) = out.glob("*.tar.gz")
        normalize(sdist, when)
        unpack(sdist, again)
        (tree,) = again.iterdir()
        call("build_wheel", tree, out.resolve(), when)
    (wheel,) = out.glob("*.whl")
    return sdist, wheel


def digests(paths):
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in paths}


def first_example():
    """The first example of the README, without the statements that need an adapter's framework."""
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)[1]
    adapters, kept = set(), []
    for statement in ast.parse(code).body:
        if isinstance(statement, ast.Import) and statement.names[0].name.startswith("philinit."):
            adapters.add(statement.names[0].asname)
        elif adapters.isdisjoint(n.id for n in ast.walk(statement) if isinstance(n, ast.Name)):
            kept.append(ast.unparse(statement))
    return "\n".join(kept)


def check_installed(path, folder):
    """Install one file with what it needs, and nothing else, and run the README away from here."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    run([python, "-m", "pip", "install", "--quiet", path], cwd=folder, timeout=600)
    run([python, "-I", "-W", "error", "-c", first_example()], cwd=folder)


def main():
    out = Path(sys.argv[1])
    if changed := git("status", "--porcelain").decode():
        print(f"not in these files, since not committed:\n{changed}", end="", file=sys.stderr)
    for old in (*out.glob("*.whl"), *out.glob("*.tar.gz")):
        old.unlink()
    made = build(out)
    with TemporaryDirectory() as name:
        assert digests(build(Path(name, "again"))) == digests(made), "two builds differ"
        run([sys.executable, "-m", "twine", "check", "--strict", *made])
        for number, path in enumerate(made):
            check_installed(path.resolve(), Path(name, str(number)))
    for path in made:
        print(digests([path])[path.name], path)


if __name__ == "__main__":
    main()
