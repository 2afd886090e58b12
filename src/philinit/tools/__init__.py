# SPDX-License-Identifier: Apache-2.0
"""What the commands do; nothing of the library imports it."""
