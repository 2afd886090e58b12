# SPDX-License-Identifier: Apache-2.0
"""The demo's tables: time and memory, then the numbers against theory."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from philinit.cli.console import Row, show
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


def _speed_rows(results: list[dict[str, Any]], resident: float | None) -> list[Row]:
    """Rows of the first table; a rate is bytes over seconds, in 10^9."""
    rows: list[Row] = []
    section, own = "", {"new": 0.0, "again": 0.0}
    for entry in results:
        asked, result = Measurement.from_json(entry["spec"]), entry["result"]
        if asked.contender == "memset":
            fresh, again = f"{result['fresh'] / 1e9:.2f}", f"{result['resident'] / 1e9:.2f}"
            rows.append(["memset", "", fresh, again, "100%", "", "", "", ""])
            continue
        if asked.init != section:
            section, own = asked.init, {"new": 0.0, "again": 0.0}
            rows += [[], [f"[bold]{TITLES[section]}[/bold]", *[""] * 8]]
        rate = {"new": asked.work.nbytes / result["seconds"], "again": result["again_rate"]}
        if asked.contender == "philinit":
            own = rate
        peer = "philinit" not in asked.contender
        if title := CONTENDERS[asked.contender].tensor_title:
            seconds = result["tensor_seconds"]
            alone = [title, f"{seconds:.3f}", f"{asked.work.nbytes / seconds / 1e9:.2f}"]
            rows.append(
                [*alone, "", "", "", "", _times(own["new"], asked.work.nbytes / seconds), ""]
            )
        rows.append(
            [
                entry["title"],
                f"{result['seconds']:.3f}",
                f"{rate['new'] / 1e9:.2f}",
                f"{rate['again'] / 1e9:.2f}",
                f"{rate['again'] / resident:.0%}" if resident else "",
                memory(result["build_extra"]),
                memory(result["step_extra"]),
                _times(own["new"], rate["new"]) if peer else "",
                _times(own["again"], rate["again"]) if peer else "",
            ]
        )
    return rows


def _times(own: float, other: float) -> str:
    return f"{own / other:.1f}" if own else ""


def _number_rows(results: list[dict[str, Any]]) -> list[Row]:
    """Rows of the second table; z beyond 4.5 and ends outside their bounds are called off."""
    rows: list[Row] = []
    section = ""
    for entry in results:
        asked, found = Measurement.from_json(entry["spec"]), entry["result"]
        if asked.contender == "memset":
            continue
        if asked.init != section:
            section = asked.init
            wanted = asked.work.distribution
            (mean, stddev), (low, high) = wanted.moments(), wanted.support()
            theory = [f"{mean:.0f}", "", f"{stddev:.4e}", "", f"{low:.4e}", f"{high:.4e}"]
            rows += [[], [f"[bold]{TITLES[section]}[/bold], theory", *theory, "", ""]]
        off = [key for key in ("mean", "stddev", "min", "max") if not found[key + "_ok"]]
        different = found.get("different_bits")
        if different is None:
            bits = ""
        else:
            bits = "all equal" if different == 0 else f"[red]{different:,} differ[/red]"
        rows.append(
            [
                entry["title"],
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
    measured = [entry for entry in results if entry["spec"]["contender"] != "memset"]
    if not results:
        return
    memset: dict[str, float] = next(
        (entry["result"] for entry in results if entry["spec"]["contender"] == "memset"), {}
    )
    size = ""
    if measured:
        asked = Measurement.from_json(measured[0]["spec"])
        rows, columns = asked.shape
        size = f": {rows:,} x {columns:,} {asked.dtype}, {asked.work.nbytes / GIB:.3g} GiB"
    columns_of_speed = ["time and memory", "seconds", "GB/s", "again", "of memset"]
    columns_of_speed += ["build", "1st step", "x new", "x again"]
    show(
        console, f"Embedding{size}", columns_of_speed, _speed_rows(results, memset.get("resident"))
    )
    if not measured:
        return
    console.print(
        "seconds, GB/s: a new tensor, whose pages come from the system. again: GB/s into resident"
        " memory (peers: an eighth of the tensor). build, 1st step: peak memory beyond the tensor;"
        " TensorFlow's allocator keeps books of 1/32 of it. x: how many times as fast philinit is.",
        style="dim",
        highlight=False,
    )
    columns_of_numbers = ["numbers", "mean", "z", "stddev", "z", "min", "max", "verdict", "TF bits"]
    show(console, "Against theory", columns_of_numbers, _number_rows(results))
    console.print(
        "z: distance from theory in standard errors; beyond 4.5 is off. min and max must lie inside"
        " the bounds and near them. TF bits: those of tf.random.stateless_uniform, and of Keras.",
        style="dim",
        highlight=False,
    )
