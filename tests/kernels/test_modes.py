# SPDX-License-Identifier: Apache-2.0
"""G2: the bits do not depend on the floating point modes that the process has set."""

from __future__ import annotations

import functools
import platform
import sys
from pathlib import Path

import pytest

from tests.support.processes import run_python

pytestmark = pytest.mark.slow

PROBE = """
    import ctypes, hashlib, sys
    import numpy as np
    import philinit as pi
    # Now, for Python reads decimals of sources in the mode that is set, and keeps what it has read.
    import philinit.initializers.functions, philinit.kernels.plan, philinit.kernels.cpu.compiler

    if sys.argv[1].startswith("round"):
        assert ctypes.CDLL("libm.so.6").fesetround(int(sys.argv[1].split()[1])) == 0
    elif sys.argv[1] == "flush":
        import torch
        assert torch.set_flush_denormal(True)
    digest = hashlib.sha256()
    for name in ("float32", "float64", "bfloat16", "float16"):
        for init in (pi.GlorotUniform(seed=1), pi.HeNormal(seed=1), pi.Normal(0.1, 0.3, seed=2),
                     pi.TruncatedNormal(0.1, 0.3, -1.0, 2.5, seed=3),
                     pi.TruncatedNormal(0.0, 1e-20, -1e-12, 1e-12, seed=3) if "6" not in name
                     else pi.Uniform(seed=4)):
            for threads in (1, 3):
                digest.update(init((700, 500), name, threads=threads).tobytes())
            digest.update(init.rows((10**6, 37), [5, 9, 5], name).tobytes())
        digest.update(pi.Orthogonal(1.3, seed=1)((150, 110), name).tobytes())
    print(digest.hexdigest())
"""


@functools.cache
def usual() -> str:
    return run_python(PROBE, "usual").stdout


def bits(mode: str, cache: Path) -> str:
    """The bits under a mode, by kernels that were compiled under it, too."""
    return run_python(PROBE, mode, env={"PHILINIT_CACHE_DIR": cache}).stdout


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="numbers of glibc on x86-64"
)
@pytest.mark.parametrize("mode", [0x400, 0x800, 0xC00], ids=["down", "up", "towards zero"])
def test_g2_any_rounding_mode(mode: int, tmp_path: Path) -> None:
    assert bits(f"round {mode}", tmp_path / "cache") == usual()


def test_g2_flushed_subnormal_numbers(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    assert bits("flush", tmp_path / "cache") == usual()
