# SPDX-License-Identifier: Apache-2.0
"""The CPU that kernels are compiled for: the host, or what NUMBA_CPU_NAME and _FEATURES say."""

import functools
import os
import re

import llvmlite.binding as llvm


@functools.cache
def cpu() -> tuple[str, str]:
    """(name, features) as LLVM spells them: ``("znver4", "+avx2,+avx512f,-sse4a,...")``."""
    name = os.environ.get("NUMBA_CPU_NAME") or llvm.get_host_cpu_name()
    features = os.environ.get("NUMBA_CPU_FEATURES")
    if features is None:
        # A foreign name with the host's features would not be that CPU.
        features = "" if name == "generic" else llvm.get_host_cpu_features().flatten()
    one = r"[+-][\w.-]+"
    if not (re.fullmatch(r"[\w.+-]+", name) and re.fullmatch(f"({one}(,{one})*)?", features)):
        raise ValueError(
            "NUMBA_CPU_NAME and NUMBA_CPU_FEATURES must be spelled as LLVM does, such as haswell "
            f"and +avx2,+fma; got NUMBA_CPU_NAME={name!r} and NUMBA_CPU_FEATURES={features!r}"
        )
    return name, features


@functools.cache
def has_feature(name: str) -> bool:
    """Whether the target has an instruction set, by LLVM's name: "avx2", "avx512f", "fma"."""
    return f"+{name}" in cpu()[1].split(",")
