# SPDX-License-Identifier: Apache-2.0
"""The demo's tables: time and memory, then the numbers against theory."""

from collections.abc import Iterator
from typing import Any

from rich.console import Console

from philinit.cli.console import Row, say, show
from philinit.tools.demo.contenders import CONTENDERS, Measurement

TITLES = {"glorot_uniform": "Glorot uniform", "he_normal": "He normal"}
GIB = 1 << 30


def memory(extra: int | None) -> str:
    """Bytes beyond the tensor itself, in MiB or GiB; nothing where they were not measured."""
    if extra is None:
        return ""
    if extra >= GIB:
        return f"+{extra / GIB:.2f} GiB"
    return f"+{max(0, extra) / (1 << 20):.0f} MiB"


def _sections(
    results: list[dict[str, Any]],
) -> Iterator[tuple[Measurement, dict[str, Any], bool]]:
    """Each measurement but memset's with its result, and whether its initializer is a new one."""
    last = ""
    for entry in results:
        asked = Measurement.from_json(entry["spec"])
        if asked.contender != "memset":
            yield asked, entry["result"], asked.init != last
            last = asked.init


def _speed_rows(results: list[dict[str, Any]], memset: dict[str, float]) -> list[Row]:
    """Rows of the first table; a rate is bytes over seconds, in 10^9."""
    rows: list[Row] = []
    if memset:
        fresh, again = (f"{memset[name] / 1e9:.2f}" for name in ("fresh", "resident"))
        rows.append(["memset", "", fresh, again, "100%", "", "", "", ""])
    own = (0.0, 0.0)
    for asked, result, first in _sections(results):
        if first:
            own = (0.0, 0.0)
            rows += [[], [f"[bold]{TITLES[asked.init]}[/bold]", *[""] * 8]]
        nbytes, seconds, again_rate = asked.work.nbytes, result["seconds"], result["again_rate"]
        rates = nbytes / seconds, again_rate
        times = ["", ""]
        if asked.contender == "philinit":
            own = rates
        elif CONTENDERS[asked.contender].bench.peer:
            times = [_times(*pair) for pair in zip(own, rates, strict=True)]
        if title := CONTENDERS[asked.contender].tensor_title:
            alone = result["tensor_seconds"]
            cells = [title, f"{alone:.3f}", f"{nbytes / alone / 1e9:.2f}"]
            rows.append([*cells, "", "", "", "", _times(own[0], nbytes / alone), ""])
        share = f"{again_rate / memset['resident']:.0%}" if memset else ""
        peaks = [memory(result[name]) for name in ("build_extra", "step_extra")]
        figures = [f"{seconds:.3f}", *(f"{rate / 1e9:.2f}" for rate in rates), share]
        rows.append([asked.title, *figures, *peaks, *times])
    return rows


def _times(own: float, other: float) -> str:
    return f"{own / other:.1f}" if own else ""


def _number_rows(results: list[dict[str, Any]]) -> list[Row]:
    """Rows of the second table; z beyond 4.5 and ends outside their bounds are called off."""
    rows: list[Row] = []
    for asked, found, first in _sections(results):
        if first:
            wanted = asked.work.distribution
            (mean, stddev), (low, high) = wanted.moments(), wanted.support()
            theory = [f"{mean:.0f}", "", f"{stddev:.4e}", "", f"{low:.4e}", f"{high:.4e}"]
            rows += [[], [f"[bold]{TITLES[asked.init]}[/bold], theory", *theory, "", ""]]
        off = [key for key in ("mean", "stddev", "min", "max") if not found[key + "_ok"]]
        bits = ""
        if (different := found.get("different_bits")) is not None:
            bits = f"[red]{different:,} differ[/red]" if different else "all equal"
        rows.append(
            [
                asked.title,
                f"{found['mean']:+.1e}",
                f"{found['z_mean']:+.1f}",
                f"{found['stddev']:.4e}",
                f"{found['z_stddev']:+.1f}",
                f"{found['min']:.4e}",
                f"{found['max']:.4e}",
                "[red]" + ", ".join(off) + " off[/red]" if off else "ok",
                bits,
            ]
        )
    return rows


def print_tables(console: Console, results: list[dict[str, Any]]) -> None:
    """Both tables, as far as results go."""
    if not results:
        return
    rates = (entry["result"] for entry in results if entry["spec"]["contender"] == "memset")
    memset: dict[str, float] = next(rates, {})
    measured = next(_sections(results), None)
    size = ""
    if measured is not None:
        asked = measured[0]
        rows, columns = asked.shape
        size = f": {rows:,} x {columns:,} {asked.dtype}, {asked.work.nbytes / GIB:.3g} GiB"
    titles = ["time and memory", "seconds", "GB/s", "again", "of memset", "build", "1st step"]
    titles += ["x new", "x again"]
    show(console, f"Embedding{size}", titles, _speed_rows(results, memset))
    if measured is None:
        return
    say(
        console,
        "seconds, GB/s: a new tensor, whose pages come from the system. again: GB/s into resident"
        " memory (peers: an eighth of the tensor). build, 1st step: peak memory beyond the tensor;"
        " TensorFlow's allocator keeps books of 1/32 of it. x: how many times as fast philinit is.",
        "dim",
    )
    titles = ["numbers", "mean", "z", "stddev", "z", "min", "max", "verdict", "TF bits"]
    show(console, "Against theory", titles, _number_rows(results))
    say(
        console,
        "z: distance from theory in standard errors; beyond 4.5 is off. min and max must lie inside"
        " the bounds and near them. TF bits: those of tf.random.stateless_uniform, and of Keras.",
        "dim",
    )
