# SPDX-License-Identifier: Apache-2.0
"""The oracle's own arithmetic."""

import itertools

import numpy as np

from tests.support import exact
from tests.support import reference as r


def test_the_oracles_fma_is_exact() -> None:
    rng = np.random.default_rng(5)

    def numbers(n: int, spread: int) -> r.Array:
        return rng.standard_normal(n) * 2.0 ** rng.integers(-spread, spread, n)

    a, b = numbers(4000, 30), numbers(4000, 30)
    close = -(a * b) * (1 + rng.integers(-4, 5, 4000) * 2.0**-52)  # near-total cancellation
    for c in (numbers(4000, 60), close, np.zeros(4000), np.ldexp(numbers(4000, 3), -70)):
        triples = zip(a.tolist(), b.tolist(), c.tolist(), strict=True)
        right = [exact.fma_exact(*abc) for abc in triples]
        assert exact.fma64(a, b, c).tolist() == right
    x, y = a.astype(np.float32), b.astype(np.float32)
    for z in (numbers(4000, 60), -(x * y), np.ldexp(x * y, -24), np.ldexp(a, -140)):
        z = z.astype(np.float32)
        triples = zip(x.tolist(), y.tolist(), z.tolist(), strict=True)
        right = [exact.fma_exact(*abc, bits=24, least=-149) for abc in triples]
        assert exact.fma32(x, y, z).tolist() == right
    tie = [1 + 2.0**-23, 1 - 2.0**-23, 2.0**-25 * (1 + 2.0**-20)]  # where rounding twice errs
    hard = [(p, q, s * 2.0**e) for p, q, s in itertools.product(tie, tie, (1, -1)) for e in (0, 24)]
    for p, q, s in hard:
        assert exact.fma32(p, q, s).item() == exact.fma_exact(p, q, s, 24, -149)


def test_the_check_of_fma_would_catch_double_rounding() -> None:
    a, b, c = 1 + 2.0**-12, 1 + 2.0**-12, 2.0**-60  # a b is a tie in float32, c breaks it
    assert np.float32(a * b + c) != exact.fma_exact(a, b, c, 24, -149)
    assert exact.fma32(a, b, c).item() == exact.fma_exact(a, b, c, 24, -149)


def test_the_oracles_bfloat16_is_that_of_ml_dtypes() -> None:
    bits = np.random.default_rng(6).integers(0, 1 << 32, 100_000).astype(np.uint32)
    ties = np.arange(1 << 15, dtype=np.uint32) << 16 | np.uint32(0x8000)
    y = np.concatenate([bits, ties]).view(np.float32)
    y = y[np.abs(y) < 3.38e38]
    r.assert_same_bits(exact.rounded(y, r.BFLOAT16), y.astype(r.BFLOAT16))
