# SPDX-License-Identifier: Apache-2.0
"""The kernels for CPUs: Python over vector types, compiled by Numba and LLVM."""
