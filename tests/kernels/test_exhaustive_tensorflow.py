# SPDX-License-Identifier: Apache-2.0
"""Every radius and every direction that TensorFlow's float32 normals can have: 2**23 of each.

Against both oracles, and by calls of this machine's logf, sinf and cosf, which tell whether the
oracle of its kind is right. That the other kind is rounded correctly is shown by mpmath.
"""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import mpmath
import numpy as np
import pytest
from numba import njit

from philinit.kernels.constants import CALLED, GLIBC, ROUNDED
from philinit.kernels.cpu import box_muller as bm
from philinit.kernels.cpu.simd.memory import store
from philinit.kernels.cpu.simd.operators import constant, sqrt
from philinit.kernels.libm import libm
from tests.support import cases
from tests.support import reference as r
from tests.support import reference_tensorflow as tensorflow
from tests.support.exact import fields_of, round_fraction

pytestmark = pytest.mark.slow

COUNT = 1 << 23
NAMES = {GLIBC: "glibc", ROUNDED: "rounded"}

lane_numbers = constant(bm.u64xN, range(bm.N))


@functools.cache
def computed(variant: str) -> tuple[r.Array, r.Array, r.Array]:
    """Radius, sin and cos of all n, as the kernels make them; noise in the bits above n."""
    squared_radius = getattr(bm, f"{variant}_squared_radius")
    direction = getattr(bm, f"{variant}_direction")

    @njit(nogil=True)
    def run(start, stop, log, sin, cos, radii, directions):
        for first in range(start, stop, bm.N):
            n = lane_numbers() + first
            w = n | (((n * 0x9E37) & 0x1FF) << 23)
            pairs = w | (w << 32)
            store(radii + 4 * first, sqrt(squared_radius(pairs, log)))
            store(directions + 8 * first, direction(pairs, sin, cos))

    radii, directions = np.empty(COUNT, np.float32), np.empty((COUNT, 2), np.float32)
    with cases.libm_of(None):
        addresses = libm().addresses32

    def part(i: int) -> None:
        size = COUNT // 16
        run(i * size, (i + 1) * size, *addresses, radii.ctypes.data, directions.ctypes.data)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(part, range(16)))
    return radii, directions[:, 0].copy(), directions[:, 1].copy()


@functools.cache
def right(kind: str) -> tuple[r.Array, r.Array, r.Array]:
    """The same by an oracle."""
    n = np.arange(COUNT, dtype=np.uint32)
    return tensorflow.radius32(n, kind), *tensorflow.direction32(n, kind)


@functools.cache
def angles() -> r.Array:
    n = np.arange(COUNT, dtype=np.uint32)
    return (2 * np.pi * tensorflow.uniform32(n).astype(np.float64)).astype(np.float32)


@pytest.mark.parametrize("kind", tensorflow.KINDS)
def test_g3_all_radii_and_directions(kind: str) -> None:
    for name, got, want in zip(("radius", "sin", "cos"), computed(kind), right(kind), strict=True):
        r.assert_same_bits(got, want, name)


@pytest.mark.parametrize("part", ["radius", "direction"])
def test_g3_calls_of_this_machine_are_of_the_kind_that_was_found(part: str) -> None:
    with cases.libm_of(None):
        kind = libm().log if part == "radius" else libm().trigonometry
    if kind == CALLED:
        pytest.skip("the libm of this machine is of neither kind")
    which = slice(0, 1) if part == "radius" else slice(1, 3)
    pairs = zip(computed("called")[which], right(NAMES[kind])[which], strict=True)
    for got, want in pairs:
        r.assert_same_bits(got, want, part)


def test_the_kinds_differ_where_glibc_is_known_to_round_wrongly() -> None:
    """Counted with glibc 2.36 itself: logf after the square root, sinf and cosf; by one unit."""
    known = (30_676, 108_108, 108_456)
    for count, glibc, exact in zip(known, right("glibc"), right("rounded"), strict=True):
        steps = glibc.view(np.int32).astype(np.int64) - exact.view(np.int32)
        assert np.count_nonzero(steps) == count
        assert np.abs(steps).max() == 1


# --- the oracle of the rounded kind --------------------------------------------------------------

FUNCTIONS: list[Any] = [(np.log, mpmath.log), (np.sin, mpmath.sin), (np.cos, mpmath.cos)]


def arguments(function: Any) -> r.Array:
    if function is np.log:
        n = np.arange(COUNT, dtype=np.uint32)
        return np.maximum(tensorflow.uniform32(n), np.float32(1e-7))
    return angles()


@pytest.mark.parametrize(("function", "exact"), FUNCTIONS, ids=["log", "sin", "cos"])
def test_numpy_in_float64_errs_by_far_less_than_the_oracle_allows_for(
    function: Any, exact: Any
) -> None:
    """3000 arguments anywhere, and the 3000 that come nearest to a tie of float32."""
    x = arguments(function).astype(np.float64)
    wide = function(x)
    dropped = (wide.view(np.uint64) & np.uint64(2 * tensorflow.TIE - 1)).astype(np.int64)
    near = np.argpartition(np.abs(dropped - tensorflow.TIE), 3000)[:3000]
    anywhere = np.random.default_rng(8).integers(1, COUNT, 3000)
    with mpmath.workprec(120):
        errors = [
            float(abs(exact(mpmath.mpf(x[i])) - wide[i]) / np.spacing(abs(wide[i])))
            for i in (*near.tolist(), *anywhere.tolist())
        ]
    assert max(errors) < tensorflow.CLOSE / 8


@pytest.mark.parametrize("index", range(3), ids=["log", "sin", "cos"])
def test_the_rounded_kind_is_rounded_correctly_at_the_nearest_ties(index: int) -> None:
    """The 3000 results nearest to a tie, decided by mpmath; any other is far from wrong."""
    function, exact = FUNCTIONS[index]
    x = arguments(function)
    y = tensorflow.FUNCTIONS["rounded"][index](x)
    wide = function(x.astype(np.float64))
    dropped = (wide.view(np.uint64) & np.uint64(2 * tensorflow.TIE - 1)).astype(np.int64)
    near = np.argpartition(np.abs(dropped - tensorflow.TIE), 3000)[:3000]
    assert np.abs(dropped - tensorflow.TIE)[near].max() > tensorflow.CLOSE
    for i in near.tolist():
        with mpmath.workprec(200):
            value = r.as_fraction(exact(mpmath.mpf(float(x[i]))))
        assert y[i] == round_fraction(value, *fields_of(r.FLOAT32))
