# SPDX-License-Identifier: Apache-2.0
"""The one error that several modules raise: an optional package is missing.

Every other error is a plain TypeError, ValueError or NotImplementedError with one sentence that
says what must hold, what came, and what to do.
"""

from __future__ import annotations


def missing_extra(feature: str, package: str, extra: str) -> ImportError:
    """ImportError that says which extra to install for `feature`."""
    return ImportError(f'{feature} needs {package}: pip install "philinit[{extra}]"')
