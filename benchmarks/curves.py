# SPDX-License-Identifier: Apache-2.0
"""Seconds over weights, from 2^10 to 2^32 of them, for philinit and its peers.

bfloat16 is one tensor at every size (8 GiB of 2^32 weights). float32 beyond 2^28 is drawn 2^28 at
a time into the same memory, or as new tensors, so that peers and philinit fit alike. A line ends
where one point would take a peer more than `PATIENCE`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from philinit.tools.bench.contenders import CONTENDERS, Refused
from philinit.tools.bench.races import ROUND, Tell
from philinit.tools.bench.workers import Workers
from philinit.tools.bench.workloads import Work
from philinit.tools.measure.machine import HEADROOM, free_memory

PIECE = 1 << 28
PATIENCE = 4.0  # seconds of one point
LINES = [
    ("memset", "float32", "resident"),
    ("philinit", "float32", "resident"),
    ("philinit", "bfloat16", "resident"),
    ("tf.random", "float32", "new"),
    ("torch", "float32", "resident"),
    ("JAX", "float32", "new"),
    ("NumPy, SFC64", "float32", "resident"),
]


@dataclass
class Point:
    """One size of a line: a tensor of `weights // pieces` weights, so many times."""

    weights: int
    pieces: int
    repeats: int
    rounds: int
    seconds: list[float] = field(default_factory=list)


@dataclass
class Curve:
    """One line of the picture."""

    contender: str
    title: str
    library: str
    dtype: str
    memory: str
    points: list[Point] = field(default_factory=list)

    def work(self, weights: int) -> Work:
        """The tensor of a point, or a piece of it."""
        size = weights if self.dtype == "bfloat16" else min(weights, PIECE)
        return Work("uniform", (size,), (-0.05, 0.05), self.dtype)


def sizes(curve: Curve, top: int) -> list[int]:
    """2^10, 2^12, ... as far as `top` and free memory go."""
    room = 2 * free_memory() / 3 - HEADROOM
    found = [1 << bits for bits in range(10, top.bit_length(), 2)]
    return [size for size in found if curve.work(size).nbytes < room]


def prepare(
    workers: Workers, line: tuple[str, str, str], top: int, report: Callable[[str, str], None]
) -> Curve:
    """Warm a line up, size by size; `report` is told where and why it ends."""
    contender, (_, dtype, memory) = CONTENDERS[line[0]], line
    title = contender.title(Work("uniform", (1,)))
    curve = Curve(contender.name, title, contender.library, dtype, memory)
    seconds = 0.0
    for weights in sizes(curve, top):
        work = curve.work(weights)
        pieces = weights // work.size
        if contender.peer and 4 * seconds > PATIENCE:
            report(contender.name, f"2^{weights.bit_length() - 1} weights take over {PATIENCE:g} s")
            break
        try:
            if pieces == 1:
                workers.turn(contender, work, memory, check=True)
                seconds = workers.turn(contender, work, memory)["seconds"]
            else:
                seconds *= 4
        except Refused as reason:
            report(contender.name, str(reason))
            break
        spend = 1.0 if contender.peer else 2.5
        repeats = pieces * max(1, min(10_000, math.ceil(ROUND / seconds)))
        rounds = max(1 if contender.peer else 3, min(5, int(spend / max(seconds, ROUND))))
        curve.points.append(Point(weights, pieces, repeats, rounds))
    return curve


def draw(
    workers: Workers,
    top: int,
    curves: list[dict[str, Any]],
    report: Callable[[str, str], None],
    tell: Tell,
) -> None:
    """Every line into `curves`, as JSON has them; sizes and lines take turns."""
    lines = []
    for line in LINES:
        tell(f"seconds over weights: {line[0]}, {line[1]} warms up")
        try:
            lines.append(prepare(workers, line, top, report))
        except Refused as reason:
            report(line[0], str(reason))
    for number in range(5):
        tell(f"seconds over weights: round {number + 1} of 5")
        for curve in lines:
            for point in curve.points:
                if number >= point.rounds:
                    continue
                reply = workers.turn(
                    CONTENDERS[curve.contender],
                    curve.work(point.weights),
                    curve.memory,
                    point.repeats,
                )
                point.seconds.append(reply["seconds"] * point.pieces)
        curves[:] = [asdict(curve) for curve in lines]
    workers.forget()
