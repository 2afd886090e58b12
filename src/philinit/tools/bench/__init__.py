# SPDX-License-Identifier: Apache-2.0
"""The benchmark: workloads, contenders, and the engine that lets them take turns."""
