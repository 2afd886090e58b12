# SPDX-License-Identifier: Apache-2.0
"""A Keras model back to its first weights: building it again beside philinit.keras.initialize.

    python benchmarks/bench_resets.py [--quick] [--rounds N] [--json PATH]

The model is ResNet50 of keras.applications, 25.6 million weights. Contenders: Keras builds it
again; philinit fills the one that there is, by a map of what its layers have by default; and, for
comparison, a loop that calls the layers' own initializers again and assigns what they give. Ratios
are of medians within one run, contenders in turns. That each brings every weight back to its first
bits is asserted before anything is timed. Writes JSON with every single time, prints a table. Exit
code 0 whatever was reached.
"""

from __future__ import annotations

import gc
import os
import sys
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import philinit as pi
import philinit.keras as pk
import scripts
from model_results import Result, rows, show
from philinit.tools.bench.calls import weights_of
from philinit.tools.measure.clock import Call, in_turns

CONTENDERS = ("built again", "philinit", "own initializers, assigned")
MUST = 3.0
SEED = 1
FIRST = pi.models.ParameterMap(
    {
        "*.bias": pi.Zeros(),
        "*.beta": pi.Zeros(),
        "*.moving_mean": pi.Zeros(),
        "*.gamma": pi.Ones(),
        "*.moving_variance": pi.Ones(),
        "*.kernel": pi.GlorotUniform(),
    }
)


def resnet50() -> Any:
    """The model, with the same weights each time."""
    keras.utils.set_random_seed(SEED)
    return keras.applications.ResNet50(weights=None)


def small() -> Any:
    """Three layers, for a look that takes a moment."""
    keras.utils.set_random_seed(SEED)
    layers = [keras.layers.Conv2D(8, 3), keras.layers.BatchNormalization(), keras.layers.Dense(4)]
    return keras.Sequential([keras.Input((8, 8, 3)), *layers])


def assigned(model: Any) -> Any:
    """Each weight from the initializer that its layer has for it, as they are in this model."""
    for layer in model.layers:
        for weight in layer.weights:
            initializer = getattr(layer, f"{weight.name}_initializer")
            weight.assign(initializer(weight.shape, weight.dtype))
    return model


def assert_first(what: str, weights: list[Any], first: list[Any]) -> None:
    """Weight by weight, bit for bit."""
    for weight, values in zip(weights, first, strict=True):
        if not np.array_equal(weights_of(weight), values):
            raise AssertionError(f"{what}: {weight.path} has other weights than the first")


def reset(what: str, build: Call, rounds: int) -> Result:
    """All contenders, checked, then in turns."""
    model = build()
    calls: dict[str, Call] = {
        CONTENDERS[0]: build,
        CONTENDERS[1]: lambda: pk.initialize(model, FIRST, SEED),
        CONTENDERS[2]: lambda: assigned(model),
    }
    for contender, call in calls.items():
        first = [weights_of(weight).copy() for weight in call().weights]
        for weight in model.weights:
            weight.assign(weight + 1)
        assert_first(f"{what}, {contender}", call().weights, first)
    return Result(what, model.count_params(), in_turns(calls, rounds, before=gc.collect), MUST)


def main(arguments: list[str] | None = None) -> int:
    """Measure, write JSON, print."""
    parser = scripts.measuring(__doc__, "a model of three layers, three rounds")
    options = parser.parse_args(arguments)
    what, build = ("three layers", small) if options.quick else ("ResNet50", resnet50)
    results = [reset(what, build, options.rounds or (3 if options.quick else 7))]
    console = scripts.console()
    show(console, results)
    path = scripts.write(options.json, "resets", keras=rows(results))
    console.print(f"written: {path}", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
