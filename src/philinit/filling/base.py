# SPDX-License-Identifier: Apache-2.0
"""What a backend must offer."""

from __future__ import annotations

from typing import Any, Protocol

from philinit.checks import Progress
from philinit.kernels.plan import Plan
from philinit.keys import Key
from philinit.parts import Runs


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

        `view` is what `philinit.filling.devices.opened` yields: C-contiguous, writable, of one of
        the four dtypes. `threads` is for CPUs; other devices have no use for it.
        """

    def fill_runs(
        self,
        view: Any,
        plan: Plan,
        key: Key,
        runs: Runs,
        threads: int | None,
        progress: Progress | None,
    ) -> None:
        """Write the weights of `runs`, one at least, into `view`, in the order of the runs.

        ``runs.size == view.size > 0``; ``runs.axes`` is not empty; ``runs.span <= 2**62``.
        """
