# SPDX-License-Identifier: Apache-2.0
"""Words to weights: 2.1 to 2.4 of kernels/README.md, on words and on bits of float32."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np

from philinit.jax.xla.arithmetic import (
    ONE,
    SIGN,
    ZERO,
    Word,
    bits,
    constant,
    flag,
    linear,
    mulhi,
    nearest,
    nearest_integer,
    sticky,
    times,
    upper,
    word,
)
from philinit.kernels import constants as c

Parameters = Mapping[str, float]


class Table:
    """|H| of a map: for each segment a polynomial, by Horner's rule, each step rounded once.

    The value after the step of power j is an integer times 2**exponents[j]. It is below 2**31, and
    has two binary digits at the least below the last one of its float32: every word was tried.
    """

    def __init__(self, rows: Sequence[Sequence[float]], exponents: Sequence[int]) -> None:
        self.exponents = exponents
        self.rows = [
            np.array([int(math.ldexp(abs(a), -e)) for a in row], np.uint32)
            for row, e in zip(rows, exponents, strict=True)
        ]

    def __call__(self, segment: Word, variable: Word) -> Word:
        """The bits; `variable` is a signed integer times 2**-23, for coefficients of one sign."""
        *rows, h = (jnp.asarray(r).at[segment].get(mode="promise_in_bounds") for r in self.rows)
        for power in reversed(range(len(rows))):
            # The upper half of the product has the exponent that the sum needs.
            v = variable << (9 - self.exponents[power] + self.exponents[power + 1])
            product = h.astype(jnp.int64) * v.astype(jnp.int32).astype(jnp.int64)
            value = sticky(rows[power] + upper(product), product.astype(jnp.uint32))
            h = nearest_integer(value) if power else nearest(value)
        return h + word(self.exponents[0] << 23)


# The signs of the coefficients alternate: |H| has the variable with the other sign.
NORMAL = Table(c.NORMAL_TABLE, (-57, -61, -62, -63, -64, -65, -66, -67))
TRUNCATED = Table(c.TRUNCATED_TABLE, (-57, -59, -61, -63, -65))
TRUNCATED_C = word(int(c.TRUNCATED_C) >> 32)


def magnitude(w: Word) -> Word:
    """|w| of a signed word."""
    return jnp.where(w >= SIGN, ZERO - w, w)


def signed(w: Word) -> Word:
    """The bits of the float32 next to a signed word."""
    return bits(w.astype(jnp.int32).astype(jnp.float32))


def normal_ratio(q: Word) -> Word:
    """The bits of H(q) of 2.2."""
    return NORMAL(q >> 23 & word(31), word(1 << 22) - (q & word(0x7FFFFF)))


def uniform(w: Word, p: Parameters) -> Word:
    """2.1."""
    return linear(signed(w), constant(p["scale"]), constant(p["middle"]))


def normal(w: Word, p: Parameters) -> Word:
    """2.2."""
    k = w | ONE
    x = times(signed(k), normal_ratio(nearest(SIGN - magnitude(k))))
    return linear(x, constant(p["stddev"]), constant(p["mean"]))


def truncated(w: Word, p: Parameters) -> Word:
    """2.3."""
    k = w | ONE
    f = nearest_integer(magnitude(k))
    rest = flag(f * f != 0)  # C - f * f in units of 2**32, sticky
    y = nearest(TRUNCATED_C - mulhi(f, f) - rest | rest)
    m = y & word((1 << c.TRUNCATED_SHIFT) - 1) | word(1 << 23)
    x = times(signed(k), TRUNCATED(y >> c.TRUNCATED_SHIFT & word(15), ZERO - m))
    return linear(x, constant(p["stddev"]), constant(p["mean"]))


def bounded(w: Word, p: Parameters) -> Word:
    """2.4 for 32-bit words."""
    k, spacing = w | ONE, constant(p["spacing"])
    f = linear(signed(k), constant(p["scale"]), constant(p["center"]))
    low, high = (
        linear(bits(distance.astype(jnp.float32)), spacing, constant(p[mass]))
        for distance, mass in ((k ^ SIGN, "lower_mass"), (SIGN - k, "upper_mass"))
    )
    return linear(f, normal_ratio(jnp.minimum(low, high)), constant(p["mean"]))


MAPS = {"uniform": uniform, "normal": normal, "truncated": truncated, "bounded": bounded}
