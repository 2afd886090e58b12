# SPDX-License-Identifier: Apache-2.0
"""The pictures of a benchmark: bars of GB/s beside the memset line, and seconds over weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from philinit.checks import missing_extra
from philinit.tools.bench.results import Result

try:
    import matplotlib as mpl
    from matplotlib.figure import Figure
except ImportError as error:
    raise missing_extra("a picture", "matplotlib", "plot") from error

OWN, LIGHT, PEER, LIMIT = "#0b6fa4", "#5fb0dc", "#a9b4bd", "#c0392b"
LINES = {
    "tensorflow": "#e67e22",
    "keras": "#c0392b",
    "torch": "#8e44ad",
    "jax": "#2e7d32",
    "numpy": "#777777",
    "memset": "#222222",
}
STYLE: Any = {"svg.hashsalt": "philinit", "font.size": 10, "axes.edgecolor": "#777777"}


def best_memory(results: Sequence[Result]) -> list[Result]:
    """Resident memory of who can write to it, new tensors of the others; of philinit both."""
    again = {(r.workload, r.contender, r.dtype) for r in results if r.memory == "resident"}
    return [
        r
        for r in results
        if r.memory == "resident"
        or r.contender == "philinit"
        or (r.workload, r.contender, r.dtype) not in again
    ]


def throughput(results: Sequence[Result], path: Path, subtitle: str) -> None:
    """One panel for each workload in `results`: GB/s of each contender, on a log scale.

    The line is memset of resident memory, "x" how many times as fast philinit is with the same
    kind of memory.
    """
    kept = best_memory(results)
    names = list(dict.fromkeys(result.workload for result in kept))
    panels = [[r for r in kept if r.workload == name] for name in names]
    lines = [len(panel) for panel in panels]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.6, 0.6 + 0.24 * (sum(lines) + 2 * len(lines))))
        figure.set_layout_engine("constrained")
        axes = figure.subplots(
            len(panels), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": lines}
        )[:, 0]
        for one, panel in zip(axes, panels, strict=True):
            _bars(one, panel)
        axes[0].set_xlim(min(r.rate for r in kept) / 2e9, 3.5 * max(r.rate for r in kept) / 1e9)
        axes[-1].xaxis.set_major_formatter("{x:g}")
        axes[-1].set_xlabel("GB/s, log scale")
        figure.suptitle(subtitle, x=0.01, ha="left", fontsize=10, color="#444444")
        _save(figure, path)


def _bars(axes: Any, panel: list[Result]) -> None:
    own = {r.memory: r.rate for r in panel if r.contender == "philinit"}
    limits = {r.memory: r.rate for r in panel if r.contender == "memset"}
    limit = limits.get("resident", limits.get("new"))
    panel = sorted((r for r in panel if r.contender != "memset"), key=lambda r: r.rate)
    colors = [OWN if r.contender.startswith("philinit") else PEER for r in panel]
    rates = [r.rate / 1e9 for r in panel]
    axes.barh(range(len(panel)), rates, color=colors, height=0.72, log=True)
    for row, (result, rate) in enumerate(zip(panel, rates, strict=True)):
        text = f" {rate:.3g}"
        if not result.contender.startswith("philinit") and result.memory in own:
            text += f"   ({own[result.memory] / result.rate:.3g}x)"
        clear = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}  # of the memset line
        axes.text(rate * 1.04, row, text.strip(), va="center", fontsize=9, bbox=clear)
    labels = [r.title + (", new tensor" if r.memory == "new" else "") for r in panel]
    axes.set_yticks(range(len(panel)), labels, fontsize=9)
    axes.tick_params(axis="y", length=0)
    axes.set_title(panel[0].workload if panel else "", loc="left", fontsize=10.5, weight="bold")
    if limit is not None:
        axes.axvline(limit / 1e9, color=LIMIT, lw=1.2, ls="--")
        axes.annotate(
            f"memset {limit / 1e9:.3g}",
            (limit / 1e9, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=9,
            color=LIMIT,
        )
    axes.spines[["top", "right"]].set_visible(False)


@dataclass(frozen=True)
class Line:
    """One contender's seconds over numbers of weights."""

    label: str
    library: str
    weights: list[int]
    seconds: list[float]
    second: bool = False  # another one of the same contender: lighter


def scaling(lines: Sequence[Line], path: Path, subtitle: str) -> None:
    """Seconds over weights, both on log scales; each line bears its name at its end."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.6, 5.4), layout="constrained")
        axes = figure.add_subplot(xscale="log", yscale="log")
        axes.set_xscale("log", base=2)
        for line in lines:
            style = {"ls": "--"} if line.library == "memset" else {"marker": "o", "ms": 3}
            axes.plot(
                line.weights,
                line.seconds,
                color=LINES.get(line.library, LIGHT if line.second else OWN),
                lw=2.4 if line.library == "philinit" and not line.second else 1.4,
                label=line.label,
                **style,
            )
        handles, labels = axes.get_legend_handles_labels()
        order = sorted(
            range(len(lines)), key=lambda i: -lines[i].seconds[-1] / lines[i].weights[-1]
        )
        axes.legend([handles[i] for i in order], [labels[i] for i in order], frameon=False)
        axes.set_xlabel("weights")
        axes.set_ylabel("seconds")
        axes.grid(color="#dddddd", lw=0.7)
        axes.set_axisbelow(True)
        axes.set_title(subtitle, loc="left", fontsize=10, color="#444444")
        axes.spines[["top", "right"]].set_visible(False)
        _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    metadata = {"Date": None} if path.suffix.lower() == ".svg" else {"Software": None}
    figure.savefig(path, dpi=150, metadata=metadata, facecolor="white")
