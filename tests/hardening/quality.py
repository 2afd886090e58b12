# SPDX-License-Identifier: Apache-2.0
"""Statistics of billions of weights against exact bounds: `make quality`, some half hour.

Each distribution in each dtype and sampler draws 2**30 weights (``--log2``), in which are counted:
moments, a chi-square over cells of known probability, and the tails beyond 3, 4, 5 and 5.5
stddevs. 1,000 neighboring seeds and 1,000 names are compared in pairs. Every bound follows from the
number of weights and from ALPHA; every check has a twin on spoiled weights that must fail.
``--words`` writes random words to stdout for a battery such as ``dieharder -a -g 200``.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from scipy import stats

import philinit as pi
from philinit.distributions import Normal, TruncatedNormal, Uniform
from philinit.dtypes import NAMES, as_dtype
from philinit.tools.measure.machine import machine_facts

ALPHA = 1e-9  # chance that one check of a run calls correct weights wrong
Z = float(stats.norm.isf(ALPHA / 2))
BLOCK = 1 << 24
CELLS = 4096
TAILS = (3.0, 4.0, 5.0, 5.5)
SPAN = 6.5  # cells of a normal reach from -SPAN to SPAN

DISTRIBUTIONS = {
    "uniform": Uniform(-1.0, 1.0),
    "normal": Normal(0.0, 1.0),
    "truncated normal": TruncatedNormal(0.0, 1.0),
    "truncated at -1 and 3": TruncatedNormal(0.0, 1.0, -1.0, 3.0),
}


@njit(cache=False)
def count(x: Any, low: float, scale: float, cells: Any, sums: Any, tails: Any) -> None:
    """Add to cells, to sums of the first four powers, and to tails of |x|."""
    s1 = s2 = s3 = s4 = 0.0
    last = cells.size - 1
    for value in x:
        v = float(value)
        cells[min(max(int((v - low) * scale), 0), last)] += 1
        square = v * v
        s1 += v
        s2 += square
        s3 += square * v
        s4 += square * square
        size = abs(v)
        if size > 3.0:
            tails[0] += 1
            tails[1] += size > 4.0
            tails[2] += size > 5.0
            tails[3] += size > 5.5
    sums[0] += s1
    sums[1] += s2
    sums[2] += s3
    sums[3] += s4


def frozen(distribution: Any) -> Any:
    """SciPy's distribution."""
    if isinstance(distribution, Uniform):
        return stats.uniform(distribution.low, distribution.high - distribution.low)
    if isinstance(distribution, TruncatedNormal):
        return stats.truncnorm(distribution.lower, distribution.upper)
    return stats.norm()


def support(distribution: Any) -> tuple[float, float]:
    low, high = distribution.support()
    return max(low, -SPAN), min(high, SPAN)


def cell_edges(distribution: Any, dtype: str) -> np.ndarray[Any, Any]:
    """Edges of cells of equal width, moved to where the dtype rounds from one cell to the next."""
    low, high = support(distribution)
    edges = np.linspace(low, high, CELLS + 1)
    if as_dtype(dtype).itemsize > 2:
        return edges
    # A weight is in a cell by its rounded value: the edge is half a step below the first one there.
    values = np.arange(1 << 16, dtype=np.uint16).view(as_dtype(dtype)).astype(np.float64)
    values = np.unique(values[np.isfinite(values)])
    first = np.searchsorted(values, edges[1:-1], "left")
    edges[1:-1] = (values[first - 1] + values[first]) / 2
    return edges


class Sample:
    """What was counted of a stream of weights."""

    def __init__(self, distribution: Any) -> None:
        self.low, self.high = support(distribution)
        self.cells = np.zeros(CELLS, np.int64)
        self.sums, self.tails, self.size = np.zeros(4), np.zeros(4, np.int64), 0

    def add(self, weights: np.ndarray[Any, Any]) -> None:
        wide = weights.astype(np.float32) if weights.itemsize == 2 else weights
        scale = CELLS / (self.high - self.low)
        count(wide, self.low, scale, self.cells, self.sums, self.tails)
        self.size += weights.size


def judged(sample: Sample, distribution: Any, dtype: str, coarse: bool) -> dict[str, Any]:
    """z of the moments, p of the chi-square, and tails, each with whether it is in its bound."""
    exact, n = frozen(distribution), sample.size
    mean, second, third, fourth = sample.sums / n
    moments = [float(exact.moment(k)) for k in range(1, 9)]
    found: dict[str, Any] = {}
    steps = {"float16": 2.0**-11, "bfloat16": 2.0**-8}.get(dtype, 2.0**-22)  # of rounding
    for k, value in enumerate((mean, second, third, fourth), 1):
        error = math.sqrt((moments[2 * k - 1] - moments[k - 1] ** 2) / n)
        # Rounding to nearest moves even moments by its square, and coarse ends by one step.
        slack = moments[2 * (k // 2 + k % 2) - 1] * k * steps * (steps if not coarse else 2.0)
        z = (value - moments[k - 1]) / error
        found[f"moment {k}"] = {"z": z, "ok": abs(value - moments[k - 1]) < Z * error + slack}
    edges = cell_edges(distribution, dtype)
    chances = np.diff(exact.cdf(edges))
    chances[0] += exact.cdf(edges[0])
    chances[-1] += exact.sf(edges[-1])
    whole = np.add.reduceat(chances, starts := _merged(chances * n))
    seen = np.add.reduceat(sample.cells, starts)
    statistic = float(((seen - n * whole) ** 2 / (n * whole)).sum())
    p = float(stats.chi2.sf(statistic, seen.size - 1))
    found["chi-square"] = {"p": p, "cells": int(seen.size), "ok": p > ALPHA}
    if type(distribution) is Normal:
        for bound, seen_beyond in zip(TAILS, sample.tails, strict=True):
            chance = 2 * float(stats.norm.sf(bound))
            both = (
                stats.binom.cdf(seen_beyond, n, chance),
                stats.binom.sf(seen_beyond - 1, n, chance),
            )
            p = 2 * float(min(both))
            entry = {"seen": int(seen_beyond), "expected": n * chance, "p": min(p, 1.0)}
            found[f"beyond {bound}"] = {**entry, "ok": p > ALPHA}
    return found


def _merged(expected: np.ndarray[Any, Any]) -> list[int]:
    """Where cells begin that are merged until each has 25 weights or more."""
    starts, total = [0], 0.0
    for index, number in enumerate(expected[:-1]):
        total += number
        if total >= 25 and expected[index + 1 :].sum() >= 25:
            starts.append(index + 1)
            total = 0.0
    return starts


def drawn(distribution: Any, dtype: str, sampler: str, log2: int) -> tuple[Sample, Sample]:
    """A sample of 2**log2 weights, and its spoiled twin: a thousandth too wide."""
    key, sample, spoiled = pi.Key.from_seed(20261128), Sample(distribution), Sample(distribution)
    out = np.empty(min(BLOCK, 1 << log2), as_dtype(dtype))
    for offset in range(0, 1 << log2, out.size):
        pi.fill(out, distribution, key, offset, sampler=sampler)
        sample.add(out)
        if offset < 1 << 27:
            spoiled.add((out.astype(np.float64) * 1.001).astype(np.float32))
    return sample, spoiled


def pairs(kind: str, size: int = 1 << 16, many: int = 1000) -> dict[str, Any]:
    """The largest correlation of streams of neighboring seeds or names, against its bound."""
    init = pi.Normal(0.0, 1.0, seed=0)

    def stream(i: int) -> np.ndarray[Any, Any]:
        who = pi.Normal(0.0, 1.0, seed=i) if kind == "seeds" else init.named(f"layer/{i}")
        weights: np.ndarray[Any, Any] = who((size,))
        return weights

    before, largest, same = stream(0), 0.0, 0
    for i in range(1, many + 1):
        now = stream(i)
        largest = max(largest, abs(float(before @ now)) / math.sqrt(size))
        same += int(np.count_nonzero(before == now))
        before = now
    bound = float(stats.norm.isf(ALPHA / 2 / many))
    chance = float(stats.poisson.sf(same - 1, many * size * 2.0**-24))
    twin = abs(float(before @ (0.05 * before + now * 0.0))) / math.sqrt(size)
    return {"largest z": largest, "bound": bound, "equal weights": same,
            "ok": largest < bound and chance > ALPHA, "twin fails": twin > bound}  # fmt: skip


def words(stream: Any) -> None:
    """Random words without end."""
    from philinit.filling import cpu
    from philinit.targets import Target
    from philinit.tools.selftest.cases import WORDS

    out, start = np.empty(1 << 20, np.float32), 0
    key = pi.Key.from_seed(1)
    while True:
        cpu.fill(Target(out, out.shape), WORDS, key, start)
        stream.write(out.tobytes())
        start += out.size


def main() -> None:
    """Run everything; exit 1 where a check fails, or a twin does not."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--log2", type=int, default=30, help="weights of each stream, 30")
    parser.add_argument("--json", type=Path, default=Path("build/quality.json"))
    parser.add_argument("--words", action="store_true", help="words to stdout, for a battery")
    options = parser.parse_args()
    if options.words:
        try:
            words(sys.stdout.buffer)
        except BrokenPipeError:
            return
    report: dict[str, Any] = {"machine": machine_facts(None), "log2": options.log2, "streams": {}}
    failed = []
    for name, distribution in DISTRIBUTIONS.items():
        for dtype in NAMES:
            for sampler in ("native", "tensorflow"):
                if sampler == "tensorflow" and name.startswith("truncated at"):
                    continue  # TensorFlow cuts at 2 only
                begun = time.perf_counter()
                sample, spoiled = drawn(distribution, dtype, sampler, options.log2)
                checks = judged(sample, distribution, dtype, coarse=sampler == "tensorflow")
                twin = judged(spoiled, distribution, dtype, coarse=False)
                title = f"{name}, {dtype}, {sampler}"
                wrong = [check for check, entry in checks.items() if not entry["ok"]]
                if all(entry["ok"] for entry in twin.values()):
                    wrong.append("the spoiled twin passes")
                failed += [f"{title}: {check}" for check in wrong]
                report["streams"][title] = checks
                took = time.perf_counter() - begun
                print(f"{title}: {', '.join(wrong) or 'ok'} ({took:.0f} s)", flush=True)
    for kind in ("seeds", "names"):
        report[kind] = found = pairs(kind)
        print(f"1,000 neighboring {kind}: {found}")
        failed += [] if found["ok"] and found["twin fails"] else [kind]
    report["failed"] = failed
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(report, indent=1))
    print(f"{'FAILED: ' + '; '.join(failed) if failed else 'all within bounds'}; {options.json}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
