# SPDX-License-Identifier: Apache-2.0
"""Mistakes planted on purpose: a check counts as one only if it catches what it is there for."""

from collections.abc import Callable
from typing import Any

import pytest


def plant(source: str, right: str, wrong: str) -> str:
    """The source with one mistake in it; what it replaces must stand there exactly once."""
    assert source.count(right) == 1, f"{right!r} must stand once in the source"
    return source.replace(right, wrong)


def assert_caught(
    check: Callable[..., object],
    *spoiled: Any,
    match: str | None = None,
    errors: tuple[type[Exception], ...] = (AssertionError,),
) -> None:
    """`check(*spoiled)` fails, in the words of `match`; on what is right it has passed before."""
    with pytest.raises(errors, match=match):
        check(*spoiled)
