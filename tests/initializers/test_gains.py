# SPDX-License-Identifier: Apache-2.0
"""gains: torch's documented table, He's Eq. 15, and SciPy integrals of the activations."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from philinit.initializers.gains import ACTIVATIONS, CRITERIA, gain, gain_squared

SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


def sigmoid(z: float) -> float:
    return 1.0 / (1.0 + math.exp(-z))


def softplus(z: float) -> float:
    return math.log1p(math.exp(z))


def elu(z: float, alpha: float = 1.0) -> float:
    return z if z > 0 else alpha * math.expm1(z)


# name, param -> the activation as its paper defines it
DEFINITIONS: dict[tuple[str, float | None], Callable[[float], float]] = {
    ("linear", None): lambda z: z,
    ("relu", None): lambda z: max(z, 0.0),
    ("leaky_relu", None): lambda z: z if z > 0 else 0.01 * z,
    ("leaky_relu", 0.3): lambda z: z if z > 0 else 0.3 * z,
    ("leaky_relu", -1.0): abs,
    ("prelu", None): lambda z: z if z > 0 else 0.25 * z,
    ("relu6", None): lambda z: min(max(z, 0.0), 6.0),
    ("relu_squared", None): lambda z: max(z, 0.0) ** 2,
    ("elu", None): elu,
    ("elu", 0.5): lambda z: elu(z, 0.5),
    ("selu", None): lambda z: SELU_SCALE * elu(z, SELU_ALPHA),
    ("tanh", None): math.tanh,
    ("sigmoid", None): sigmoid,
    ("softsign", None): lambda z: z / (1.0 + abs(z)),
    ("softplus", None): softplus,
    ("gelu", None): lambda z: 0.5 * z * (1.0 + math.erf(z / math.sqrt(2.0))),
    ("silu", None): lambda z: z * sigmoid(z),
    ("mish", None): lambda z: z * math.tanh(softplus(z)),
    ("hardswish", None): lambda z: z * min(max(z + 3.0, 0.0), 6.0) / 6.0,
    ("sin", None): math.sin,
    ("sin", 3.0): lambda z: math.sin(3.0 * z),
}


def expectation(f: Callable[[float], float]) -> float:
    """E f(z) for z ~ N(0, 1), piecewise between the kinks that occur above."""
    integrate = pytest.importorskip("scipy.integrate")
    edges = [-14.0, -6.0, -3.0, -1.0, 0.0, 1.0, 3.0, 6.0, 14.0]

    def weighted(z: float) -> float:
        return f(z) * math.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)

    total: float = sum(
        integrate.quad(weighted, a, b, epsabs=1e-14, epsrel=1e-13, limit=200)[0]
        for a, b in itertools.pairwise(edges)
    )
    return total


@pytest.mark.parametrize(("name", "param"), DEFINITIONS)
def test_gains_are_the_integrals_of_the_activation(name: str, param: float | None) -> None:
    f = DEFINITIONS[name, param]
    mean, second = expectation(f), expectation(lambda z: f(z) ** 2)

    def slope(z: float, h: float = 1e-4) -> float:  # fourth order; no step crosses a kink
        kinks = (-3.0, 0.0, 3.0, 6.0)
        if any(abs(z - kink) < 2 * h for kink in kinks):
            z += math.copysign(4 * h, z - min(kinks, key=lambda k: abs(z - k)))
        return (8 * (f(z + h) - f(z - h)) - (f(z + 2 * h) - f(z - 2 * h))) / (12 * h)

    assert gain(name, param, criterion="second_moment") == pytest.approx(second**-0.5, rel=1e-11)
    assert gain(name, param, criterion="variance") == pytest.approx(
        (second - mean * mean) ** -0.5, rel=1e-11
    )
    backward = expectation(lambda z: slope(z) ** 2)
    assert gain(name, param, criterion="gradient") == pytest.approx(backward**-0.5, rel=1e-6)
    assert gain(name, param, criterion="gradient") != pytest.approx(1.02 * backward**-0.5, rel=1e-6)


def test_every_activation_has_a_definition_here() -> None:
    aliases = {
        "identity": "linear",
        "swish": "silu",
        "hard_silu": "hardswish",
        "hard_swish": "hardswish",
        "conv1d": "linear",
        "conv2d": "linear",
        "conv3d": "linear",
        "conv_transpose1d": "linear",
        "conv_transpose2d": "linear",
        "conv_transpose3d": "linear",
    }
    assert {aliases.get(name, name) for name in ACTIVATIONS} == {name for name, _ in DEFINITIONS}
    for alias, name in aliases.items():
        assert gain(alias) == gain(name)


@pytest.mark.parametrize(
    ("name", "param", "value"),
    [  # torch.nn.init.calculate_gain, as its documentation has it
        ("linear", None, 1.0),
        ("sigmoid", None, 1.0),
        ("tanh", None, 5.0 / 3),
        ("relu", None, math.sqrt(2.0)),
        ("leaky_relu", None, math.sqrt(2.0 / (1 + 0.01**2))),
        ("leaky_relu", 0.2, math.sqrt(2.0 / (1 + 0.2**2))),
        ("selu", None, 3.0 / 4),
    ],
)
def test_the_default_is_the_convention_of_torch(
    name: str, param: float | None, value: float
) -> None:
    assert gain(name, param) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize(
    "name", ["gelu", "silu", "mish", "elu", "softplus", "softsign", "hardswish"]
)
def test_the_default_elsewhere_keeps_the_second_moment(name: str) -> None:
    assert gain(name) == gain(name, criterion="second_moment")


@pytest.mark.parametrize("a", [0.0, 0.01, 0.25, 1.0, math.sqrt(5.0)])
@pytest.mark.parametrize("name", ["leaky_relu", "prelu"])
def test_he_2015_equation_15(name: str, a: float) -> None:
    """1/2 (1 + a**2) n Var[w] = 1; a = 0 is ReLU, a = 1 the linear case."""
    assert 0.5 * (1 + a * a) * gain_squared(name, a) == pytest.approx(1.0, rel=1e-15)


def test_relu_doubles_the_variance_exactly() -> None:
    assert gain_squared("relu") == 2.0
    assert gain("relu") == math.sqrt(2.0)


def test_relu_keeps_the_signal_through_thirty_layers_and_a_wrong_gain_does_not() -> None:
    def size_after(g: float) -> float:
        rng = np.random.Generator(np.random.Philox(5))
        z = rng.standard_normal((1024, 64))
        for _ in range(30):
            w = rng.standard_normal((1024, 1024)) * (g / 32.0)
            z = w @ np.maximum(z, 0.0)
        return float(np.mean(z * z))

    # Var of log(size) per layer is about (5 / 1024) over weights shared by all columns: 30 layers
    # give a standard deviation of 0.38; 1.05**60 is e**2.93, far outside four of them.
    assert abs(math.log(size_after(gain("relu")))) < 4 * 0.38
    assert abs(math.log(size_after(1.05 * gain("relu")))) > 4 * 0.38


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("geglu",), ValueError, "`activation` must be one of"),
        ((None,), TypeError, "`activation` must be a str; got activation=None"),
        (("relu", 0.1), ValueError, "`param` must be left out for relu, only leaky_relu, prelu"),
        (("leaky_relu", math.nan), ValueError, "`param` must be finite; got param=nan"),
        (("leaky_relu", True), TypeError, "`param` must be a real number; got param=True"),
        (("leaky_relu", "0.1"), TypeError, "`param` must be a real number; got param='0.1'"),
        (
            ("leaky_relu", 1e200),
            ValueError,
            "`param` must leave leaky_relu a finite, non-zero effect",
        ),
        (
            ("sin", 0.0),
            ValueError,
            "`param` must leave sin a finite, non-zero effect; got param=0.0",
        ),
    ],
)
def test_bad_arguments(arguments: tuple[Any, ...], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        gain(*arguments)


def test_unknown_criterion() -> None:
    with pytest.raises(ValueError, match=f"`criterion` must be one of {', '.join(CRITERIA)}"):
        gain("relu", criterion="torch")
