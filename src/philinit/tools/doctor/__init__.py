# SPDX-License-Identifier: Apache-2.0
"""What works on this machine, and how to fix what does not."""
