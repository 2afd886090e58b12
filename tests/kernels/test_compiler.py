# SPDX-License-Identifier: Apache-2.0
"""The cache of compiled kernels: hit without Numba, never stale, never in the way."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import philinit.kernels.cpu
from philinit.kernels.cpu import compiler
from tests.support.processes import run_python

# A ragged head and tail, so that memcpy is called too.
SCRIPT = """
import sys, numpy as np, philinit as pi
out = np.empty(5003, np.float32)
pi.fill(out, pi.distributions.Uniform(-1, 1), pi.Key.from_seed(5), 3)
print(out.tobytes().hex()[:64], "numba" in sys.modules)
"""


def fill_in_new_process(cache: Path, **environment: str) -> list[str]:
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=dict(os.environ, PHILINIT_CACHE_DIR=str(cache), **environment),
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


def test_a_cached_kernel_needs_no_numba_and_writes_the_same_bits(tmp_path: Path) -> None:
    first, compiled = fill_in_new_process(tmp_path)
    second, recompiled = fill_in_new_process(tmp_path)
    assert (compiled, recompiled) == ("True", "False")
    assert first == second


def test_a_damaged_cache_is_compiled_again(tmp_path: Path) -> None:
    want, _ = fill_in_new_process(tmp_path)
    (file,) = tmp_path.glob("*.o")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert fill_in_new_process(tmp_path) == [want, "True"]
    assert fill_in_new_process(tmp_path) == [want, "False"]


@pytest.mark.parametrize("kind", ["read-only", "a file"])
def test_an_unusable_cache_costs_only_time(tmp_path: Path, kind: str) -> None:
    cache = tmp_path / "cache"
    if kind == "a file":
        cache.write_text("not a folder")
    else:
        cache.mkdir()
        cache.chmod(stat.S_IRUSR | stat.S_IXUSR)
        if os.access(cache, os.W_OK):
            pytest.skip("this user may write everywhere")
    assert fill_in_new_process(cache)[1] == "True"


def test_the_digest_covers_every_source_of_the_kernels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An edit of any file that an entry point calls gives other names in the cache."""
    source = Path(philinit.kernels.cpu.__path__[0])
    copy = tmp_path / "kernels" / "cpu"
    shutil.copytree(source, copy)
    constants = [source.parent / name for name in ("constants.py", "table.py")]
    for file in constants:
        shutil.copy(file, copy.parent)
    monkeypatch.setattr(compiler, "__file__", str(copy / "compiler.py"))
    digest = compiler._digest.__wrapped__
    seen = {digest()}
    edited = [*copy.glob("*.py"), *(copy.parent / file.name for file in constants)]
    for file in edited:
        file.write_text(file.read_text() + "\n# edited\n")
        seen.add(digest())
    assert len(seen) == len(edited) + 1


def test_the_digest_covers_the_cpu(tmp_path: Path) -> None:
    want, _ = fill_in_new_process(tmp_path)
    if sys.platform == "linux" and os.uname().machine == "x86_64":
        target = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma,+bmi2,+f16c"}
        assert fill_in_new_process(tmp_path, **target) == [want, "True"]
        assert len(list(tmp_path.glob("*.o"))) == 2


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("NUMBA_CPU_NAME", "has well;", "must be spelled as LLVM does, such as haswell and"),
        ("NUMBA_CPU_FEATURES", "avx2 fma", "must be spelled as LLVM does, such as haswell and"),
        ("NUMBA_DISABLE_JIT", "1", "got NUMBA_DISABLE_JIT=1: unset it"),
        ("NUMBA_ENABLE_AVX", "0", "got NUMBA_ENABLE_AVX=0: unset it"),
    ],
)
def test_settings_under_which_nothing_can_be_compiled_are_one_sentence(
    tmp_path: Path, variable: str, value: str, sentence: str
) -> None:
    done = run_python(
        "import philinit; philinit.zeros(3); philinit.uniform((3, 4), seed=1)",
        env={"PHILINIT_CACHE_DIR": tmp_path, variable: value},
        check=False,
    )
    assert done.returncode == 1
    assert sentence in done.stderr.splitlines()[-1]


def test_code_of_another_optimization_is_not_taken_for_the_usual(tmp_path: Path) -> None:
    want, _ = fill_in_new_process(tmp_path)
    assert fill_in_new_process(tmp_path, NUMBA_OPT="0") == [want, "True"]
    assert fill_in_new_process(tmp_path) == [want, "False"]
