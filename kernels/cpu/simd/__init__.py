# SPDX-License-Identifier: Apache-2.0
"""Vectors of LLVM as types of Numba: operators, lanes, tables, memory."""
