# SPDX-License-Identifier: Apache-2.0
"""The picture of docs/migrating.md: activations through 20 ReLU layers under four initializations.

    python docs/activations.py [--width 1024] [--output docs/activations.svg]

Line: the standard deviation of all activations of a layer, max(0, x @ w). Band: the middle four
fifths of those above 0. Each layer draws its weights from a key of its own; inputs are N(0, 1).
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import philinit

DEPTH = 20
SAMPLES = 256


class Curve(NamedTuple):
    """What is drawn of one initialization: its name, its law, and one number a layer."""

    name: str
    law: str
    color: str
    stddev: list[float]
    low: list[float]
    high: list[float]

    @property
    def factor(self) -> float:
        """How the standard deviation changes from layer to layer, on average."""
        return math.pow(self.stddev[-1] / self.stddev[0], 1 / (len(self.stddev) - 1))


def initializations(width: int) -> list[tuple[str, str, str, Any]]:
    """Name, law, color and rule; each rule is for layers of `width` inputs and outputs."""
    mistaken = math.sqrt(2 / width)
    return [
        (
            "truncated normal",
            "stddev 0.1, whatever the fan",
            "#c0392b",
            philinit.TruncatedNormal(0.0, 0.1, seed=1),
        ),
        (
            "He normal",
            r"stddev $\sqrt{2 / fan_{in}}$",
            "#0b6fa4",
            philinit.HeNormal(seed=1),
        ),
        (
            "Glorot uniform",
            r"limit $\sqrt{6 / (fan_{in} + fan_{out})}$",
            "#2e7d32",
            philinit.GlorotUniform(seed=1),
        ),
        (
            "He uniform, mistaken",
            r"limit $\sqrt{2 / fan_{in}}$, not $\sqrt{6 / fan_{in}}$",
            "#8e44ad",
            philinit.Uniform(-mistaken, mistaken, seed=1),
        ),
    ]


def curves(width: int, depth: int = DEPTH, samples: int = SAMPLES) -> list[Curve]:
    """Each initialization's curve through `depth` ReLU layers of `width` units."""
    inputs = philinit.normal((samples, width), stddev=1.0, seed=0)
    found = []
    for name, law, color, rule in initializations(width):
        activations, numbers = inputs, []
        for layer in range(depth):
            weights = rule.named(layer)((width, width))
            activations = np.maximum(activations @ weights, 0.0)
            low, high = np.quantile(activations[activations > 0], (0.1, 0.9))
            numbers.append(
                (float(activations.std(dtype=np.float64)), float(low), float(high))
            )
        found.append(Curve(name, law, color, *map(list, zip(*numbers, strict=True))))
    return found


def draw(found: list[Curve], width: int, output: Path) -> None:
    """The curves as an SVG that is the same file each time."""
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    style: Any = {
        "svg.hashsalt": "philinit",
        "font.size": 11,
        "axes.edgecolor": "#777777",
    }
    with plt.rc_context(style):
        figure, axes = plt.subplots(figsize=(9.6, 5.2), layout="constrained")
        depth = len(found[0].stddev)
        layers = range(1, depth + 1)
        for curve in found:
            axes.fill_between(
                layers, curve.low, curve.high, color=curve.color, alpha=0.13, lw=0
            )
            axes.plot(
                layers, curve.stddev, color=curve.color, lw=2.2, marker="o", ms=3.5
            )
            label = f"{curve.name}, ×{curve.factor:.2f} a layer\n{curve.law}"
            place = (depth + 0.45, curve.stddev[-1])
            axes.annotate(
                label, place, color=curve.color, va="center", annotation_clip=False
            )
        axes.set_yscale("log")
        axes.set_xlim(0.5, depth + 0.3)
        axes.set_xticks([1, *range(5, depth + 1, 5)])
        axes.set_xlabel(f"ReLU layer, {width} units each")
        axes.set_ylabel("standard deviation of its activations")
        axes.grid(axis="y", color="#dddddd", lw=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(output, metadata={"Date": None}, facecolor="white")
        plt.close(figure)


def main(arguments: list[str] | None = None) -> None:
    """Compute, draw, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).with_suffix(".svg")
    )
    options = parser.parse_args(arguments)
    found = curves(options.width)
    draw(found, options.width, options.output)
    for curve in found:
        print(f"{curve.name:20}  {curve.stddev[0]:9.3g} -> {curve.stddev[-1]:9.3g}")


if __name__ == "__main__":
    main()
