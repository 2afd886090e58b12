# SPDX-License-Identifier: Apache-2.0
"""Mistakes planted in the source of kernels: a check that does not catch them proves nothing."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest


class Mistake(NamedTuple):
    """What is drawn, what must notice, and what stands in the source in place of what."""

    case: Any
    check: Callable[[Any, Any], None]
    right: str
    wrong: str


def assert_caught(mistake: Mistake, source: str, build: Callable[[str], Any]) -> None:
    """The check fails on what is built of the source with the mistake in it."""
    case, check, right, wrong = mistake
    assert source.count(right) == 1, f"{right!r} must stand once in the source"
    spoiled = build(source.replace(right, wrong))
    with pytest.raises((AssertionError, RuntimeError), match=r"differ|written|wrote|aligned|array"):
        check(case, spoiled)
