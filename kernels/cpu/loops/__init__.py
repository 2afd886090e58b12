# SPDX-License-Identifier: Apache-2.0
"""The loops over tiles: one that fills, one that fills runs, one that compares."""
