# SPDX-License-Identifier: Apache-2.0
"""The stream of kernels/README.md as XLA operations on integers, for any of XLA's devices."""
