# SPDX-License-Identifier: Apache-2.0
"""What only a fresh process shows of a contender: seconds to its first weights, and its peak.

Seconds count from the start of Python to a (512, 512) Glorot uniform, imports included; philinit's
kernels have been compiled before (processes.py times the other case). The peak is that of a call
that makes 2^26 float32 weights (256 MiB), beyond the tensor itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from philinit.tools.bench.contenders import CONTENDERS, Contender, Refused
from philinit.tools.bench.races import Tell
from philinit.tools.bench.workers import Workers
from philinit.tools.bench.workloads import Work

FIRST = Work("glorot_uniform", (512, 512))
LARGE = Work("glorot_uniform", (1 << 13, 1 << 13))


@dataclass
class Start:
    """One contender: seconds to the first weights in each round, bytes beyond the tensor."""

    contender: str
    title: str
    seconds: list[float] = field(default_factory=list)
    peak_extra: int | None = None


def start(contender: Contender, large: Work) -> tuple[float, int | None]:
    """Both figures, of one fresh process."""
    with Workers() as workers:
        begun = time.perf_counter()
        workers.turn(contender, FIRST, "new")
        seconds = time.perf_counter() - begun
        peak = workers.turn(contender, large, "new", peak=True)["peak"]
    return seconds, None if peak is None else peak - large.nbytes


def measure(
    names: Iterable[str],
    rounds: int,
    large: Work,
    starts: list[dict[str, Any]],
    report: Callable[[str, str], None],
    tell: Tell,
) -> None:
    """Every contender into `starts`, as JSON has them, in turns."""
    start(CONTENDERS["philinit"], FIRST)  # compiles, where nobody has
    found: dict[str, Start] = {}
    for number in range(rounds):
        for name in names:
            contender = CONTENDERS[name]
            tell(f"first weights of a fresh process, round {number + 1} of {rounds}: {name}")
            try:
                title = contender.title(FIRST)
                seconds, extra = start(contender, large)
            except Refused as reason:
                report(name, str(reason))
                continue
            entry = found.setdefault(name, Start(name, title))
            entry.seconds.append(seconds)
            entry.peak_extra = extra
            starts[:] = [asdict(each) for each in found.values()]
