# SPDX-License-Identifier: Apache-2.0
"""CUDA devices: memory there, compiled kernels, and their launch. CuPy is imported when used."""
