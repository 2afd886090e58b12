# SPDX-License-Identifier: Apache-2.0
"""What valgrind is to watch: kernels through pointers of C, and DLPack capsules of both versions.

Kernels are compiled for a CPU that valgrind knows; `import` is the run to compare with, and
`beyond` writes four bytes too many, which valgrind must find.

PYTHONMALLOC=malloc NUMBA_CPU_NAME=haswell NUMBA_CPU_FEATURES=+avx,+avx2,+fma,+bmi,+bmi2,+f16c \\
    valgrind --error-limit=no python -m tests.hardening.memcheck [import | beyond]
"""

import ctypes
import itertools
import sys

import numpy as np

import philinit as pi
from philinit.dtypes import WIDER, as_dtype
from philinit.filling import dlpack
from tests.hardening.test_capsules import CAPSULES

KEY = pi.Key.from_seed(3)
DRAWN = (
    pi.distributions.Uniform(-0.5, 0.5),
    pi.distributions.Normal(),
    pi.distributions.TruncatedNormal(),
)
COUNTS = (0, 1, 2, 3, 5, 31, 64, 257)
_malloc = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_size_t)(("malloc", ctypes.CDLL(None)))
_free = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(("free", ctypes.CDLL(None)))


def filled(dtype, count, distribution, sampler, offset, beyond=0):
    """Fill memory of malloc, which ends where the weights end; whether all of it was written."""
    size = max(count * dtype.itemsize, 1)
    start = _malloc(size)
    memory = (ctypes.c_char * (size + beyond)).from_address(start)
    out = np.ndarray((count + beyond // dtype.itemsize,), dtype, memory)
    pi.fill(out, distribution, KEY, offset, sampler=sampler)
    finite = bool(np.isfinite(out.astype(np.float64)).all())
    del out, memory
    _free(start)
    return finite


def fills():
    """All dtypes, samplers and distributions, some counts and offsets; a shard; capsules."""
    for name, sampler, drawn in itertools.product(WIDER, ("native", "tensorflow"), DRAWN):
        for count, offset in itertools.product(COUNTS, (0, 3)):
            assert filled(as_dtype(name), count, drawn, sampler, offset)
    init = pi.GlorotUniform(seed=1)
    whole = init((40, 30))
    assert np.array_equal(init.shard((40, 30), (slice(3, 9), slice(5, 26))), whole[3:9, 5:26])
    for dtype in map(as_dtype, WIDER):
        out = np.empty((7, 9), dtype)
        init.fill(_Exported(out))
        assert np.array_equal(out, init((7, 9), dtype))


class _Exported:
    """An array that comes as a capsule."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **_):
        return dlpack.to_capsule(self.array)

    def __dlpack_device__(self):
        return 1, 0


if __name__ == "__main__":
    what = sys.argv[1] if len(sys.argv) > 1 else "all"
    if what == "beyond":
        filled(np.dtype(np.float32), 257, DRAWN[0], "native", 0, beyond=4)
    elif what == "all":
        fills()
        sys.argv[1:] = ["2000"]
        exec(CAPSULES, {"__name__": "capsules"})
    print("done")
