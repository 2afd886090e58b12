# SPDX-License-Identifier: Apache-2.0
"""Known answers and golden hashes, on every device that is found."""
