# SPDX-License-Identifier: Apache-2.0
"""The child processes of a benchmark, one for each library, as their parent sees them."""

import contextlib
from dataclasses import asdict
from typing import Any

from philinit.tools.bench.contenders import Contender, Failed, Refused
from philinit.tools.bench.workloads import Work
from philinit.tools.measure.children import Children

PATIENCE = 300.0  # seconds for one reply


class Workers(Children):
    """Children that make and time tensors, by the host of their contenders."""

    def __init__(self) -> None:
        super().__init__("philinit.tools.bench.timings", PATIENCE)

    def forget(self) -> None:
        """Let go of all that was prepared, and of the resident buffers."""
        for host in self.names:
            with contextlib.suppress(ChildProcessError):  # it is gone, and its memory with it
                self.ask(host, {"forget": True})

    def turn(
        self,
        contender: Contender,
        work: Work,
        memory: str,
        repeats: int = 1,
        *,
        check: bool = False,
        peak: bool = False,
    ) -> dict[str, Any]:
        """{"seconds": of a call}, of `repeats` calls; with `peak` also the bytes that they took.

        Raises
        ------
        Refused
            The contender cannot do it here; `Failed`: it raised, died, or made something else.
        """
        if (missing := contender.missing()) is not None:
            raise Refused(missing)
        request = {
            "contender": contender.name,
            "work": asdict(work),
            "memory": memory,
            "repeats": repeats,
            "check": check,
            "peak": peak,
        }
        try:
            reply = self.ask(contender.host, request, gpu=contender.host == "cupy")
        except ChildProcessError as error:
            raise Failed(str(error)) from error
        if "refused" in reply:
            raise Refused(reply["refused"])
        if "failed" in reply:
            raise Failed(reply["failed"])
        return reply
