# SPDX-License-Identifier: Apache-2.0
"""The picture of `philinit show`: a histogram of weights over the exact density."""

from pathlib import Path

import numpy as np

from philinit.tools.measure.figures import picture
from philinit.tools.measure.theory import density
from philinit.tools.show.looks import Look

BINS = 100
HISTOGRAM, DENSITY = "#9cc9e3", "#0b4f78"


def draw(look: Look, path: Path) -> None:
    """Write the picture, as PNG or SVG by the ending of `path`."""
    with picture(path, 8.0, 4.5, font_size=11) as figure:
        axes = figure.add_subplot()
        edges, counts = look.histogram(BINS)
        heights = counts / (np.diff(edges) * look.weights.size)
        label = f"{look.weights.size:,} weights"
        axes.stairs(heights, edges, fill=True, color=HISTOGRAM, label=label)
        if look.distribution is not None and look.expected is not None:
            x = np.linspace(edges[0], edges[-1], 1001)
            y = density(look.distribution, x)
            x, y = np.concatenate((x[:1], x, x[-1:])), np.concatenate(([0.0], y, [0.0]))
            axes.plot(x, y, color=DENSITY, lw=1.8, label="exact density")
        margin = 0.04 * (edges[-1] - edges[0])
        axes.set_xlim(edges[0] - margin, edges[-1] + margin)
        axes.set_ylim(0.0, 1.22 * axes.get_ylim()[1])  # room for the legend
        axes.set_xlabel("weight")
        axes.set_ylabel("density")
        axes.set_title(title(look), loc="left", fontsize=12)
        axes.legend(loc="upper right", frameon=False)
        axes.text(0.015, 0.97, notes(look), transform=axes.transAxes, va="top", fontsize=9.5)
        axes.spines[["top", "right"]].set_visible(False)


def title(look: Look) -> str:
    """What is drawn for which tensor, in one line."""
    name = type(look.init).__name__
    activation = getattr(look.init, "activation", None)
    shape = " × ".join(f"{n:,}" for n in look.shape)
    return f"{name}{f', {activation}' if activation else ''}: {shape}, {look.dtype.name}"


def notes(look: Look) -> str:
    """Fans and moments, as lines of text."""
    lines = []
    if look.fans is not None:
        lines.append("fan in {:,}, fan out {:,}".format(*look.fans))
    for name in ("mean", "stddev"):
        line = f"{name} {getattr(look.observed, name):.4g}"
        if look.expected is not None and look.errors is not None:
            wanted, error = getattr(look.expected, name), getattr(look.errors, name)
            line += f", expected {wanted:.4g} ± {error:.1g}"
        lines.append(line)
    return "\n".join(lines)
