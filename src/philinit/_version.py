# SPDX-License-Identifier: Apache-2.0
"""The version, importable by every module without the root package."""

__version__ = "0.1.0"
