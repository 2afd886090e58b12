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
from philinit.dtypes import as_dtype
from philinit.tools.measure.machine import machine_facts

ALPHA = 1e-9  # chance that one check of a run calls correct weights wrong
Z = float(stats.norm.isf(ALPHA / 2))
BLOCK = 1 << 24
CELLS, NORMAL_CELLS, COARSE_CELLS = 4096, 3328, 416  # widths are powers of two: no edge is rounded
TAILS = (3.0, 4.0, 5.0, 5.5)
WIDER = {"float32": 1.001, "float64": 1.001, "float16": 1.002, "bfloat16": 1.01}  # spoiled twins
SPAN = 6.5  # cells of a normal reach from -SPAN to SPAN
# The sampler of TensorFlow's bits makes uniforms of so many values, at equal distances, and normals
# of two such uniforms of float32: there the far tails and narrow cells are those of a grid.
COARSE = {"float32": 1 << 23, "float16": 1 << 10, "bfloat16": 1 << 7}

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


def cells_of(distribution: Any, coarse: int) -> int:
    """How many cells of equal width."""
    if isinstance(distribution, Uniform):
        return min(CELLS, coarse or CELLS)
    full = NORMAL_CELLS if type(distribution) is Normal else CELLS
    return COARSE_CELLS if coarse and full == NORMAL_CELLS else full // 8 if coarse else full


def values_of(distribution: Any, dtype: str) -> np.ndarray[Any, Any]:
    """The values of a 16-bit dtype that there are, within the bounds."""
    with np.errstate(invalid="ignore"):  # of the patterns that are no number
        values = np.arange(1 << 16, dtype=np.uint16).view(as_dtype(dtype)).astype(np.float64)
    low, high = distribution.support()
    values = np.unique(values[np.isfinite(values)])
    open_above = isinstance(distribution, Uniform)
    return values[(values >= low) & ((values < high) if open_above else (values <= high))]


def edges_of(distribution: Any, dtype: str, wanted: Any, coarse: int) -> np.ndarray[Any, Any]:
    """Where the exact numbers lie that become weights of `wanted` or more."""
    wanted = np.asarray(wanted, np.float64)
    if as_dtype(dtype).itemsize > 2 or (coarse and isinstance(distribution, Uniform)):
        return wanted
    # A weight counts by its rounded value: half a step below it the exact numbers begin.
    values = values_of(distribution, dtype)
    first = np.searchsorted(values, wanted, "left")
    above = values[np.minimum(first, values.size - 1)]
    halfway = (values[np.maximum(first - 1, 0)] + above) / 2
    return np.where(first < values.size, halfway, distribution.support()[1])


class Sample:
    """What was counted of a stream of weights."""

    def __init__(self, distribution: Any, coarse: int) -> None:
        self.low, self.high = support(distribution)
        self.cells = np.zeros(cells_of(distribution, coarse), np.int64)
        self.sums, self.tails, self.size = np.zeros(4), np.zeros(4, np.int64), 0

    def add(self, weights: np.ndarray[Any, Any]) -> None:
        wide = weights.astype(np.float32) if weights.itemsize == 2 else weights
        scale = self.cells.size / (self.high - self.low)
        count(wide, self.low, scale, self.cells, self.sums, self.tails)
        self.size += weights.size


def moments_of(distribution: Any, coarse: int) -> list[float]:
    """The first eight."""
    if coarse and isinstance(distribution, Uniform):
        width = distribution.high - distribution.low
        grid = distribution.low + width * np.arange(coarse) / coarse
        return [float((grid**k).mean()) for k in range(1, 9)]
    return [float(frozen(distribution).moment(k)) for k in range(1, 9)]


def judged(sample: Sample, distribution: Any, dtype: str, coarse: int) -> dict[str, Any]:
    """z of the moments, p of the chi-square, and tails, each with whether it is in its bound."""
    exact, n = frozen(distribution), sample.size
    mean, second, third, fourth = sample.sums / n
    moments = moments_of(distribution, coarse)
    found: dict[str, Any] = {}
    steps = {"float16": 2.0**-11, "bfloat16": 2.0**-8}.get(dtype, 2.0**-22)  # of rounding
    for k, value in enumerate((mean, second, third, fourth), 1):
        error = math.sqrt((moments[2 * k - 1] - moments[k - 1] ** 2) / n)
        # Rounding to nearest moves moments by its square.
        slack = moments[2 * (k // 2 + k % 2) - 1] * k * steps * steps
        z = (value - moments[k - 1]) / error
        found[f"moment {k}"] = {"z": z, "ok": abs(value - moments[k - 1]) < Z * error + slack}
    low, high = support(distribution)
    edges = np.linspace(low, high, sample.cells.size + 1)
    edges[1:-1] = edges_of(distribution, dtype, edges[1:-1], coarse)
    chances = np.diff(exact.cdf(edges))
    chances[0] += exact.cdf(edges[0])
    chances[-1] += exact.sf(edges[-1])
    whole = np.add.reduceat(chances, starts := _merged(chances * n))
    seen = np.add.reduceat(sample.cells, starts)
    statistic = float(((seen - n * whole) ** 2 / (n * whole)).sum())
    p = float(stats.chi2.sf(statistic, seen.size - 1))
    found["chi-square"] = {"p": p, "cells": int(seen.size), "ok": p > ALPHA}
    if type(distribution) is Normal:
        for bound, seen_beyond in zip(TAILS[: 2 if coarse else 4], sample.tails, strict=False):
            beyond = np.nextafter(bound, 9.0)
            chance = 2 * float(stats.norm.sf(edges_of(distribution, dtype, beyond, coarse)))
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


def coarse_of(dtype: str, sampler: str) -> int:
    """Values of a uniform that are told apart, where they are few; else 0."""
    return COARSE.get(dtype, 0) if sampler == "tensorflow" else 0


def drawn(distribution: Any, dtype: str, sampler: str, log2: int) -> tuple[Sample, Sample]:
    """A sample of 2**log2 weights, and its spoiled twin: a little too wide."""
    key, coarse = pi.Key.from_seed(20261128), coarse_of(dtype, sampler)
    sample, spoiled = Sample(distribution, coarse), Sample(distribution, coarse)
    out = np.empty(min(BLOCK, 1 << log2), as_dtype(dtype))
    for offset in range(0, 1 << log2, out.size):
        pi.fill(out, distribution, key, offset, sampler=sampler)
        sample.add(out)
        if offset < 1 << 27:
            spoiled.add((out.astype(np.float64) * WIDER[dtype]).astype(out.dtype))
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
    twin = abs(float(before @ (0.05 * before + stream(0)))) / math.sqrt(size)
    return {"largest z": largest, "bound": bound, "equal weights": same,
            "ok": largest < bound and chance > ALPHA, "twin fails": twin > bound}  # fmt: skip


def words(stream: Any) -> None:
    """Random words without end."""
    from philinit.filling import cpu
    from philinit.kernels.table import make
    from philinit.targets import Target

    out, start = np.empty(1 << 20, np.float32), 0
    key, plan = pi.Key.from_seed(1), make("words")
    while True:
        cpu.fill(Target(out, out.shape), plan, key, start)
        stream.write(out.tobytes())
        start += out.size


def main() -> None:
    """Run everything; exit 1 where a check fails, or a twin does not."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "--log2",
        type=int,
        default=30,
        help="weights of each stream; from 26 on the spoiled twins are told",
    )
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
        for dtype in WIDER:
            for sampler in ("native", "tensorflow"):
                if sampler == "tensorflow" and name.startswith("truncated at"):
                    continue  # TensorFlow cuts at 2 only
                begun = time.perf_counter()
                sample, spoiled = drawn(distribution, dtype, sampler, options.log2)
                coarse = coarse_of(dtype, sampler)
                checks = judged(sample, distribution, dtype, coarse)
                twin = judged(spoiled, distribution, dtype, coarse)
                title = f"{name}, {dtype}, {sampler}"
                wrong = [check for check, entry in checks.items() if not entry["ok"]]
                if all(entry["ok"] for entry in twin.values()):
                    wrong.append("the spoiled twin passes")
                failed += [f"{title}: {check}" for check in wrong]
                refused = [check for check, entry in twin.items() if not entry["ok"]]
                report["streams"][title] = {"checks": checks, "twin fails": refused}
                took = time.perf_counter() - begun
                print(f"{title}: {', '.join(wrong) or 'ok'} ({took:.0f} s)", flush=True)
    for kind in ("seeds", "names"):
        report[kind] = found = pairs(kind)
        print(f"1,000 neighboring {kind}: {found}")
        failed += [] if found["ok"] and found["twin fails"] else [kind]
    report["failed"] = failed
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(report, indent=1, default=float))
    options.json.with_suffix(".md").write_text(markdown(report))
    print(f"{'FAILED: ' + '; '.join(failed) if failed else 'all within bounds'}; {options.json}")
    sys.exit(bool(failed))


def markdown(report: dict[str, Any]) -> str:
    """The report as a table."""
    lines = [
        f"2^{report['log2']} weights of each; a correct check fails with a chance of {ALPHA:g}.",
        "",
        "| weights | largest z of 4 moments | p of chi-square | beyond 3, 4, 5, 5.5 | verdict |",
        "|---|---|---|---|---|",
    ]
    for title, stream in report["streams"].items():
        checks = stream["checks"]
        z = max(abs(checks[f"moment {k}"]["z"]) for k in range(1, 5))
        square, beyond = checks["chi-square"], [e for c, e in checks.items() if "beyond" in c]
        tails = ", ".join(f"{e['seen']:,} of {e['expected']:,.1f}" for e in beyond)
        verdict = "ok" if all(entry["ok"] for entry in checks.values()) else "**outside**"
        cells = f"{square['p']:.3g} ({square['cells']} cells)"
        lines.append(f"| {title} | {z:.2f} | {cells} | {tails or '-'} | {verdict} |")
    for kind in ("seeds", "names"):
        found = report[kind]
        z, bound, equal = (found[name] for name in ("largest z", "bound", "equal weights"))
        lines.append(f"\n1,000 neighboring {kind}: z {z:.2f}, bound {bound:.2f}, {equal} equal.")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
