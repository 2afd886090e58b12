# SPDX-License-Identifier: Apache-2.0
"""Which logf, sinf and cosf there are: found out by probes, chosen by PHILINIT_LIBM."""

import ctypes
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import mpmath
import numpy as np
import pytest

from philinit.distributions import Normal, TruncatedNormal, Uniform
from philinit.filling.fill import fill
from philinit.kernels import libm as module
from philinit.kernels.constants import CALLED, GLIBC, ROUNDED, TURN
from philinit.kernels.libm import Libm, libm
from philinit.kernels.plan import plan
from philinit.keys import Key
from tests.support import cases, exact
from tests.support import reference as r
from tests.support import reference_tensorflow as tensorflow
from tests.support import reference_words as rw

KEY = Key.from_seed(17)
PROBES = {"log": module.LOG_PROBES, "sin": module.SIN_PROBES, "cos": module.COS_PROBES}
UNITS = {"log": 2.0**-23, "sin": TURN, "cos": TURN}
INDEX = {"log": 0, "sin": 1, "cos": 2}
by_name = pytest.mark.parametrize("name", PROBES)
# PHILINIT_LIBM of the whole run, if any, is not what these tests are about.
pytestmark = pytest.mark.usefixtures("_own_libm")


@pytest.fixture
def _own_libm() -> Iterator[None]:
    with cases.libm_of(None):
        yield


def scalar(kind: str, name: str) -> Callable[[float], float]:
    """A function as ctypes gives it: of one number, rounded to float32."""
    function = tensorflow.FUNCTIONS[kind][INDEX[name]]
    return lambda x: float(function(np.array([x], np.float32))[0])


# --- the probes ----------------------------------------------------------------------------------


@by_name
def test_probes_hold_the_correctly_rounded_bits_and_those_of_glibc(name: str) -> None:
    assert len(PROBES[name]) == len({n for n, *_ in PROBES[name]}) == 16
    glibc = tensorflow.FUNCTIONS["glibc"][INDEX[name]]
    for n, bits, difference in PROBES[name]:
        assert 0 < n < 1 << 23
        x = np.array([n * UNITS[name]]).astype(np.float32)
        with mpmath.workprec(200):
            value = r.as_fraction(getattr(mpmath, name)(mpmath.mpf(float(x[0]))))
        nearest = np.array([exact.round_fraction(value, *exact.fields_of(r.FLOAT32))], np.float32)
        assert nearest.view(np.uint32)[0] == bits
        assert glibc(x).view(np.uint32)[0] == bits + difference
        assert difference in (-1, 1)


@by_name
def test_the_kind_of_a_function_is_found(name: str) -> None:
    def kind(function: Callable[[float], float]) -> int:
        return module._kind(function, PROBES[name], UNITS[name])

    assert kind(scalar("glibc", name)) == GLIBC
    assert kind(scalar("rounded", name)) == ROUNDED
    if name == "log":  # whose arguments need no rounding
        assert kind(math.log) == ROUNDED
    places = [np.float32(n * UNITS[name]) for n, *_ in PROBES[name]]
    for base in tensorflow.KINDS:
        for place in (places[0], places[-1]):  # one result of sixteen is another one

            def other(x: float, place: Any = place, base: str = base) -> float:
                y = scalar(base, name)(x)
                there = np.float32(x) == place
                return float(np.nextafter(np.float32(y), np.float32(9))) if there else y

            assert kind(other) == CALLED


def fakes(**functions: Callable[[float], float]) -> Callable[[str, Any], Any]:
    """A stand-in for `_function`: logf, sinf and cosf in C, the rest as it is."""
    single = ctypes.CFUNCTYPE(ctypes.c_float, ctypes.c_float)
    made = {f"{name}f": single(function) for name, function in functions.items()}
    real = module._function
    return lambda name, number: made.get(name) or real(name, number)


@pytest.mark.parametrize(
    ("log", "sin", "cos", "kinds"),
    [
        ("glibc", "glibc", "glibc", (GLIBC, GLIBC)),
        ("rounded", "rounded", "rounded", (ROUNDED, ROUNDED)),
        ("glibc", "rounded", "rounded", (GLIBC, ROUNDED)),
        ("rounded", "glibc", "glibc", (ROUNDED, GLIBC)),
        ("glibc", "glibc", "rounded", (GLIBC, CALLED)),
        ("rounded", "rounded", "glibc", (ROUNDED, CALLED)),
    ],
)
def test_functions_are_told_apart_one_by_one(
    log: str, sin: str, cos: str, kinds: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the mixture, the kernels draw the numbers of these functions."""
    functions = {"log": scalar(log, "log"), "sin": scalar(sin, "sin"), "cos": scalar(cos, "cos")}
    monkeypatch.setattr(module, "_function", fakes(**functions))
    libm.cache_clear()
    plan.cache_clear()
    found = libm()
    assert (found.log, found.trigonometry) == kinds
    out = fill(np.empty(999, np.float32), Normal(), KEY, sampler="tensorflow")
    rows = rw.words(KEY, 0, 1000).reshape(-1, 4)
    radius = tensorflow.radius32(rows[:, 0::2], log)
    sine = tensorflow.direction32(rows[:, 1::2], sin)[0]
    cosine = tensorflow.direction32(rows[:, 1::2], cos)[1]
    both = np.stack([sine * radius, cosine * radius], -1).ravel()
    r.assert_same_bits(out, both[:999])


def test_functions_of_neither_kind_are_called(monkeypatch: pytest.MonkeyPatch) -> None:
    constants = {"log": lambda x: -8.0, "sin": lambda x: 0.25, "cos": lambda x: -0.375}
    monkeypatch.setattr(module, "_function", fakes(**constants))
    libm.cache_clear()
    plan.cache_clear()
    assert (libm().log, libm().trigonometry) == (CALLED, CALLED)
    out = fill(np.empty(6, np.float32), Normal(), KEY, sampler="tensorflow")
    assert out.tolist() == [1.0, -1.5] * 3  # the radius is 4
    out = fill(np.empty(6, np.float16), TruncatedNormal(1.0, 2.0), KEY, sampler="tensorflow")
    assert out.tolist() == [3.0, -2.0] * 3


def test_float64_calls_the_functions_of_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    double = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)
    constants = {"log": -0.5, "sin": 0.1, "cos": -0.7}
    made = {name: double(lambda x, y=y: y) for name, y in constants.items()}
    real = module._function
    monkeypatch.setattr(module, "_function", lambda n, number: made.get(n) or real(n, number))
    libm.cache_clear()
    plan.cache_clear()
    for distribution in (Normal(), TruncatedNormal()):
        out = fill(np.empty(4), distribution, KEY, sampler="tensorflow")
        assert out.tolist() == [0.1, -0.7] * 2


# --- PHILINIT_LIBM -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "kind"), [("glibc", GLIBC), ("rounded", ROUNDED), ("system", CALLED)]
)
def test_the_environment_puts_another_libm_in_its_place(value: str, kind: int) -> None:
    own = libm()
    with cases.libm_of(value):
        assert libm() == Libm(kind, kind, own.addresses32, own.addresses64)
        values = plan(Normal(0.5, 2.0), r.FLOAT32, "tensorflow").values()
        assert list(values.values()) == [2.0, 0.5, kind, kind, *own.addresses32]


def test_g8_another_value_is_refused_and_nothing_written() -> None:
    for value in ("glibc2", "GLIBC", "", " rounded"):
        message = (
            f"PHILINIT_LIBM must be one of glibc, rounded, system, or not set; "
            f"got PHILINIT_LIBM={value}"
        )
        with cases.libm_of(value):
            for dtype in r.OF_TENSORFLOW.values():
                out = np.full(100, 7, dtype)
                with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
                    fill(out, Normal(), KEY, sampler="tensorflow")
                assert (out == 7).all()
            # What needs no libm does not ask for one.
            fill(np.empty(100, np.float32), Uniform(), KEY, sampler="tensorflow")
            fill(np.empty(100, np.float32), Normal(), KEY)


def test_g8_a_machine_without_a_libm_draws_what_needs_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_library(name: Any) -> None:
        raise OSError(name)

    monkeypatch.setattr(module.ctypes, "CDLL", no_library)
    monkeypatch.setattr(module.sys, "platform", "plan9")
    libm.cache_clear()
    plan.cache_clear()
    message = (
        'normals by sampler="tensorflow" need the C library\'s logf, which was not found on '
        'plan9: use sampler="native"'
    )
    out = np.full(100, 7, np.float32)
    with pytest.raises(NotImplementedError, match=f"^{re.escape(message)}$"):
        fill(out, Normal(), KEY, sampler="tensorflow")
    assert (out == 7).all()
    fill(out, Uniform(), KEY, sampler="tensorflow")
    fill(out, Normal(), KEY)


# --- the libm of this machine --------------------------------------------------------------------


@by_name
def test_this_machines_function_is_of_the_kind_found(name: str) -> None:
    found = libm().log if name == "log" else libm().trigonometry
    if found == CALLED:
        pytest.skip("the libm of this machine is of neither kind")
    kind = {GLIBC: "glibc", ROUNDED: "rounded"}[found]
    n = np.random.default_rng(9).integers(1, 1 << 23, 20_000)
    x = (n * UNITS[name]).astype(np.float32)
    function = module._function(f"{name}f", ctypes.c_float)
    assert module._kind(function, PROBES[name], UNITS[name]) == found
    y = np.array([function(v) for v in x.tolist()], np.float32)
    r.assert_same_bits(tensorflow.FUNCTIONS[kind][INDEX[name]](x), y)
    other = next(k for k in tensorflow.KINDS if k != kind)
    assert (tensorflow.FUNCTIONS[other][INDEX[name]](x) != y).any()


@by_name
def test_python_calls_the_same_float64_functions(name: str) -> None:
    """So that the oracle may call Python's."""
    function = module._function(name, ctypes.c_double)
    x = np.random.default_rng(10).random(20_000) * (1 if name == "log" else 2 * math.pi)
    for v in x.tolist():
        assert function(v) == getattr(math, name)(v)
