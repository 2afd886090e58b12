# SPDX-License-Identifier: Apache-2.0
"""The loops over counter blocks: one that fills, one that fills runs."""
