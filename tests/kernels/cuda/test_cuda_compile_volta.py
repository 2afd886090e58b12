# SPDX-License-Identifier: Apache-2.0
"""What NVRTC of CUDA 12 makes of the CUDA kernels for sm_70, the oldest GPUs that are taken.

The wheels of the extra "cuda12" bring that compiler; CUDA 13's begins at sm_75.
"""

import re

import pytest

from philinit.filling.cuda.compiler import OLDEST, OPTIONS
from philinit.kernels import cuda
from tests.support import nvrtc12

pytestmark = pytest.mark.skipif(
    nvrtc12.library() is None, reason="needs NVRTC of CUDA 12: pip install nvidia-cuda-nvrtc-cu12"
)


# These keep a register or two in memory there, for the loops over runs; counted with NVRTC 12.9.
RUNS = {"tensorflow_truncated_float16", "tensorflow_truncated_bfloat16", "bounded_far_float32"}
FAR = {"bounded_far_float8"}  # whose float64 arithmetic takes longer than any register in memory
SPILL = {"runs": RUNS | FAR, "fill": FAR}


@pytest.mark.parametrize("loop", cuda.LOOPS)
def test_every_kernel_compiles_for_the_oldest_gpus(loop: str) -> None:
    options = (*OPTIONS, f"-arch=sm_{OLDEST}", "--ptxas-options=-v")
    code, said = nvrtc12.compiled(cuda.source(None, loop), options)
    assert code[:4] == b"\x7fELF"
    spilled = dict(
        re.findall(r"properties for philinit_(\w+)\n.*frame, (\d+) bytes spill stores", said)
    )
    assert spilled.keys() == cuda.KERNELS.keys()
    assert {name for name, nbytes in spilled.items() if nbytes != "0"} <= SPILL[loop]
    registers = {
        name: int(found)
        for name, found in re.findall(
            r"properties for philinit_(\w+)\n.*\n.*Used (\d+) registers", said
        )
    }
    assert registers.keys() == cuda.KERNELS.keys()
    # 768 threads of a multiprocessor at once; 512 of float8, four blocks of which are in flight.
    assert all(n <= (128 if k.endswith("float8") else 80) for k, n in registers.items())
