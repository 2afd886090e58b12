# SPDX-License-Identifier: Apache-2.0
"""What tools measure with: memory, memset, and numbers held against theory."""
