# SPDX-License-Identifier: Apache-2.0
"""The picture of a benchmark: bars of GB/s beside the memset line."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from philinit.tools.bench.results import Result
from philinit.tools.measure.figures import picture

OWN, PEER, LIMIT = "#0b6fa4", "#a9b4bd", "#c0392b"


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
    height = 0.6 + 0.24 * (sum(lines) + 2 * len(lines))
    with picture(path, 8.6, height, font_size=10) as figure:
        axes = figure.subplots(
            len(panels), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": lines}
        )[:, 0]
        for one, panel in zip(axes, panels, strict=True):
            _bars(one, panel)
        axes[0].set_xlim(min(r.rate for r in kept) / 2e9, 3.5 * max(r.rate for r in kept) / 1e9)
        axes[-1].xaxis.set_major_formatter("{x:g}")
        axes[-1].set_xlabel("GB/s, log scale")
        figure.suptitle(subtitle, x=0.01, ha="left", fontsize=10, color="#444444")


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
