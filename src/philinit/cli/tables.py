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
        new, again = (f"{memset[name] / 1e9:.2f}" for name in ("new", "resident"))
        rows.append(["memset", "", new, "100%", "", again, "", ""])
    own = 0.0
    for asked, result, first in _sections(results):
        if first:
            own = 0.0
            rows += [[], [f"[bold]{TITLES[asked.init]}[/bold]", *[""] * 7]]
        rate, again = asked.work.nbytes / result["seconds"], result["again_rate"]
        times = ""
        if asked.contender == "philinit":
            own = rate
        elif own and CONTENDERS[asked.contender].bench.peer:
            times = f"{own / rate:.1f}"
        figures = [
            f"{result['seconds']:.3f}",
            f"{rate / 1e9:.2f}",
            f"{rate / memset['new']:.0%}" if memset else "",
            times,
            f"{again / 1e9:.2f}",
        ]
        peaks = [memory(result[name]) for name in ("build_extra", "step_extra")]
        rows.append([asked.title, *figures, *peaks])
    return rows


def _number_rows(results: list[dict[str, Any]]) -> list[Row]:
    """Rows of the second table; z beyond 4.5 and ends outside their bounds are called off."""
    rows: list[Row] = []
    for asked, found, first in _sections(results):
        if first:
            low, high = asked.work.distribution.support()
            title = f"[bold]{TITLES[asked.init]}[/bold]"
            rows += [[], [title, "", f"{low:.4e}", f"{high:.4e}", "theory", ""]]
        off = [key for key in ("mean", "stddev", "min", "max") if not found[key + "_ok"]]
        bits = ""
        if (different := found.get("different_bits")) is not None:
            bits = f"[failed]{different:,} differ[/failed]" if different else "all equal"
        rows.append(
            [
                asked.title,
                f"{found['z_mean']:+.1f} {found['z_stddev']:+.1f}",
                f"{found['min']:.4e}",
                f"{found['max']:.4e}",
                "[failed]" + ", ".join(off) + " off[/failed]" if off else "ok",
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
    titles = ["new tf.Variable by", "s", "GB/s", "share", "x", "again", "build", "1st step"]
    show(console, f"Embedding{size}", titles, _speed_rows(results, memset))
    if measured is None:
        return
    say(
        console,
        "s, GB/s: a new variable, in memory that its process has not written before; the system"
        " had the pages ready for all. share: of memset's rate in such memory. x: how many times as"
        " fast philinit is. again: GB/s into memory that was written before (TensorFlow and Keras:"
        " an eighth of the tensor). build, 1st step: peak memory beyond the variable;"
        " TensorFlow's allocator uses 1/32 of it for bookkeeping.",
        "aside",
    )
    titles = ["numbers", "z", "min", "max", "verdict", "TF bits"]
    show(console, "Compared with theory", titles, _number_rows(results))
    say(
        console,
        "z: distance of mean and stddev from theory in standard errors; beyond 4.5 is off. min and"
        " max must lie inside the bounds and near them. TF bits: compared with"
        " tf.random.stateless_uniform and with Keras.",
        "aside",
    )
