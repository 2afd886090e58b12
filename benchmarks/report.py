# SPDX-License-Identifier: Apache-2.0
"""The Markdown of one run of the suite: a summary for the README, then every result."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

import ratios
from figures import DISTRIBUTIONS
from philinit.tools.bench.contenders import CONTENDERS
from philinit.tools.bench.results import Result, results_of
from philinit.tools.bench.workloads import WORKLOADS
from philinit.tools.measure.machine import machine_line

MIB = 1 << 20


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table."""
    line = "|" + "---|" * len(columns)
    return [f"| {' | '.join(columns)} |", line, *(f"| {' | '.join(row)} |" for row in rows), ""]


def seconds(value: float) -> str:
    """Seconds with the unit that reads best, three digits."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if value >= 0.9995 * size:
            return f"{value / size:.3g} {unit}"
    return f"{value * 1e6:.3g} us"


def markdown(document: dict[str, Any]) -> str:
    """Everything, as far as it was measured."""
    results = results_of(document)
    lines = _head(document)
    lines += summary(results)
    lines += _distributions([r for r in results if r.workload in DISTRIBUTIONS])
    lines += _models([r for r in results if r.workload not in DISTRIBUTIONS])
    lines += ["### What must be reached", ""]
    must = [ratios.cells(row) for row in ratios.rows(document)]
    lines += table(["ratio within this run", "must be", "aim", "measured", ""], must)
    lines += _starts(document.get("starts", []))
    lines += _small(document.get("small") or {})
    lines += _keras(document.get("keras") or {})
    lines += _left_out(document)
    return "\n".join(lines).rstrip() + "\n"


def _head(document: dict[str, Any]) -> list[str]:
    machine = document["machine"]
    text = f"{machine_line(machine)}; {machine['system']}"
    note = "quick run: not for comparison; " if document["quick"] else ""
    if not document["complete"]:
        note += "incomplete; "
    return [
        f"{note}{document['date'][:10]}: {text}.",
        "",
        "Medians of rounds in which contenders take turns. *Resident*: memory that was written "
        "before; *new*: a tensor of its own at each call, whose pages may have to come from the "
        "system. Shares of memset and times as fast are within the same kind of memory.",
        "",
    ]


LIBRARIES = {
    "tensorflow": "TensorFlow",
    "keras": "Keras",
    "torch": "torch",
    "jax": "JAX",
    "numpy": "NumPy",
}


def summary(results: Sequence[Result]) -> list[str]:
    """One row a workload: philinit's times, and how many times as fast as each library."""
    rows = []
    for name in dict.fromkeys(r.workload for r in results):
        of = [r for r in results if r.workload == name and r.dtype == "float32"]
        own = {r.memory: r for r in of if r.contender == "philinit"}
        limits = {r.memory: r.rate for r in of if r.contender == "memset"}
        again = own.get("resident")
        share = again.rate / limits["resident"] if again and "resident" in limits else None
        rows.append(
            [
                f"{name}, {of[0].weights:,}",
                seconds(own["new"].typical) if "new" in own else "",
                seconds(again.typical) if again else "",
                f"{again.rate / 1e9:.3g}" if again else "",
                f"{share:.2f}" if share else "",
                *(_factor(of, own, library) for library in LIBRARIES),
            ]
        )
    if not rows:
        return []
    columns = ["weights", "new tensor", "resident", "GB/s", "of memset", *LIBRARIES.values()]
    return [
        "philinit, native sampler, float32; on the right how many times as fast as the fastest "
        "way of each library it is, with resident memory where the library can write to it, else "
        "with new tensors. *: the library made a part of the tensor.",
        "",
        *table(columns, rows),
    ]


def _factor(of: Sequence[Result], own: dict[str, Result], library: str) -> str:
    """How many times as fast as the fastest contender of a library; "" where there is none."""
    peers = [r for r in of if CONTENDERS[r.contender].library == library and r.memory in own]
    peers = [r for r in peers if r.memory == "resident"] or peers
    if not peers:
        return ""
    best = max(peers, key=lambda r: r.rate)
    return f"{own[best.memory].rate / best.rate:.3g}" + ("*" if best.share > 1 else "")


def _cells(r: Result, of: Sequence[Result]) -> list[str]:
    """Contender, memory, seconds, GB/s, share of memset, how many times as fast philinit is."""
    same = {
        o.contender: o
        for o in of
        if (o.workload, o.memory) == (r.workload, r.memory) and o.dtype == "float32"
    }
    memset, own = same.get("memset"), same.get("philinit")
    name = f"`{r.title}`" + (f" {r.dtype}" if r.dtype != "float32" else "")
    if r.share > 1:
        name += f", 1/{r.share} of the tensor"
    peer = CONTENDERS[r.contender].peer
    return [
        name,
        r.memory,
        seconds(r.typical),
        f"{r.rate / 1e9:.3g}",
        f"{r.rate / memset.rate:.2f}" if memset else "",
        f"{own.rate / r.rate:.3g}" if peer and own else "",
    ]


COLUMNS = ["", "memory", "time", "GB/s", "of memset", "philinit is times as fast"]


def _distributions(results: Sequence[Result]) -> list[str]:
    lines: list[str] = []
    for name in dict.fromkeys(r.workload for r in results):
        of = [r for r in results if r.workload == name]
        lines += [f"### {name.partition('GiB ')[2].capitalize()}, {of[0].weights:,} weights", ""]
        lines += table(COLUMNS, (_cells(r, of) for r in of))
    return lines


def _models(results: Sequence[Result]) -> list[str]:
    lines: list[str] = []
    known = {workload.name: workload for workload in WORKLOADS}
    for name in dict.fromkeys(r.workload for r in results):
        of = [r for r in results if r.workload == name]
        work = known[name].work
        shape = " x ".join(f"{n:,}" for n in work.shape)
        lines += [f"### {name}: {shape}, {known[name].origin}, {work.distribution_name}", ""]
        lines += table(COLUMNS, (_cells(r, of) for r in of))
    return lines


def _starts(starts: Sequence[dict[str, Any]]) -> list[str]:
    if not starts:
        return []
    rows = [
        (
            f"`{row['title']}`",
            seconds(median(row["seconds"])),
            "" if row["peak_extra"] is None else f"{row['peak_extra'] / MIB:.0f} MiB",
        )
        for row in starts
    ]
    columns = ["a fresh process", "Python's start to (512, 512)", "peak beyond 256 MiB made"]
    return ["### First weights, and memory", "", *table(columns, rows)]


def _small(small: dict[str, Any]) -> list[str]:
    if not small:
        return []
    rows = [
        (
            f"`{row['what']}`",
            f"{row['us']:.1f} us",
            f"`{row['peer']}`" if row["peer"] else "",
            f"{row['peer_us']:.1f} us" if row["peer"] else "",
            f"{row['times_as_fast']:.3g}" if row["peer"] else "",
        )
        for row in small["results"]
    ]
    columns = [f"{tuple(small['shape'])}, float32, best round", "", "beside", "", "x"]
    return ["### A small tensor", "", *table(columns, rows)]


def _keras(keras: dict[str, Any]) -> list[str]:
    found = keras.get("tensors", []) + keras.get("models", [])
    if not found:
        return []
    rows = []
    for row in found:
        typical = {name: median(rounds) for name, rounds in row["seconds"].items()}
        own, same, native = typical.values()
        figures = (own, same, own / same, native, own / native)
        rows.append(
            [
                f"`{row['what']}`",
                f"{row['weights']:,}",
                *(
                    f"{figure:.3g}" if column in (2, 4) else seconds(figure)
                    for column, figure in enumerate(figures)
                ),
            ]
        )
    columns = ["float32", "weights", "Keras", "Keras's bits", "x", 'sampler="native"', "x"]
    return ["### Keras, and philinit in Keras", "", *table(columns, rows)]


def _left_out(document: dict[str, Any]) -> list[str]:
    found: dict[tuple[str, str], list[str]] = {}
    for skip in document["left_out"]:
        found.setdefault((skip["contender"], skip["reason"]), []).append(skip["workload"])
    if not found:
        return []
    lines = [f"- {who}: {why} ({', '.join(where)})" for (who, why), where in found.items()]
    return ["### Left out", "", *lines, ""]
