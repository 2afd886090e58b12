# SPDX-License-Identifier: Apache-2.0
"""What a backend must offer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from philinit.kernels.plan import Plan
from philinit.keys import Key

Progress = Callable[[int, int], object]


class Backend(Protocol):
    """Fills memory of its own kind of device."""

    def fill(
        self,
        view: Any,
        plan: Plan,
        key: Key,
        offset: int,
        threads: int | None,
        progress: Progress | None,
    ) -> None:
        """Write weights `offset` .. `offset + view.size` of the stream into `view`, in C order.

        `view` is what `philinit.backends.opened` yields: C-contiguous, writable, of one of the
        four dtypes. `threads` is for CPUs; other devices have no use for it.
        """
