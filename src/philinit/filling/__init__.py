# SPDX-License-Identifier: Apache-2.0
"""Who writes: memory opened once, and the CPUs or the GPU that fill it."""
