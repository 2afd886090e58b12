# SPDX-License-Identifier: Apache-2.0
"""The oracle for orthogonal matrices: section 5 of kernels/README.md, a sum at a time.

``python -m tests.support.reference_orthogonal`` writes tests/data/orthogonal.json.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math

import numpy as np

from philinit.distributions import Normal
from philinit.keys import Key
from tests.support import reference as r
from tests.support.exact import fma32, fma64, rounded

SEED, GAIN = 11, 1.3
NAMES = ("float32", "float64", "float16", "bfloat16")
SHAPES = (
    *((1, 1), (2, 1), (7, 7), (24, 24), (25, 23), (96, 96), (97, 97), (130, 20), (120, 101)),
    *((3, 3, 4, 20), (11, 30), (2, 3, 50)),  # wide ones last
)


def orthonormal(
    dtype: np.dtype[np.float64] | np.dtype[np.float32], rows: int, columns: int, key: Key
) -> r.Array:
    """W without its gain; rows >= columns."""
    normals = r.weights(Normal(), dtype, key, 0, rows * columns).reshape(rows, columns)
    w = np.zeros((rows, columns), dtype)
    for b in reversed(range(0, columns, 96)):
        a = normals[b:, b : b + 96]
        v, t, signs = reflectors(a)
        for c in range(b, columns):
            x = w[b:, c]  # zeros as yet, in the panel's columns and in its first rows
            if c < b + a.shape[1]:
                x[c - b] = signs[c - b]
            x[:] = reflected(v, t, x)
    return w


def reflectors(a: r.Array) -> tuple[r.Array, r.Array, r.Array]:
    """V, -T and the signs, in the dtype of the normals of a panel."""
    width = a.shape[1]
    v, u, signs = np.zeros_like(a), np.zeros((width, width)), np.zeros(width, a.dtype)
    for j in range(width):
        s = np.zeros(j + 1)  # for all i <= j
        for k in range(j + 1, len(a)):
            s = fma64(a[k, : j + 1].astype(np.float64), float(a[k, j]), s)
        first = float(a[j, j])
        root = math.sqrt(s[j] + first * first)
        d = a.dtype.type(first + root if first > 0 else first - root)
        signs[j] = -1 if first > 0 else 1
        v[j, j], v[j + 1 :, j] = d, a[j + 1 :, j]
        u[:j, j] = s[:j] + a[j, :j].astype(np.float64) * float(d)
        u[j, j] = (s[j] + float(d) * float(d)) / 2
    t = np.eye(width)
    for i in reversed(range(width)):
        for j in range(i + 1, width):
            t[i] = fma64(-u[i, j], t[j], t[i])
        t[i] /= u[i, i]
    return v, (-t).astype(a.dtype), signs


def reflected(v: r.Array, minus_t: r.Array, x: r.Array) -> r.Array:
    """(I - V T V^T) x."""
    fma = fma64 if v.dtype == np.float64 else fma32
    y = z = np.zeros(v.shape[1], v.dtype)
    for k in range(len(v)):
        y = fma(v[k], x[k], y)
    for j in range(v.shape[1]):
        z = fma(minus_t[:, j], y[j], z)
    for j in range(v.shape[1]):
        x = fma(v[:, j], z[j], x)
    return x


@functools.cache
def weights(shape: tuple[int, ...], name: str, seed: int = SEED, gain: float = GAIN) -> r.Array:
    """The tensor of `Orthogonal(gain, seed=seed)`."""
    dtype = r.DTYPES[name]
    work = r.FLOAT64 if name == "float64" else r.FLOAT32
    rows, columns = math.prod(shape[:-1]), shape[-1]
    sizes = max(rows, columns), min(rows, columns)
    w = orthonormal(work, *sizes, Key.from_seed(seed)) * work.type(gain)
    return rounded((w if rows >= columns else w.T).reshape(shape), dtype)


def hashes(made=weights) -> dict[str, str]:
    """Of all shapes and dtypes, as `made` makes them."""
    return {
        f"{name} {shape}": hashlib.sha256(
            np.ascontiguousarray(made(shape, name)).tobytes()
        ).hexdigest()
        for name in NAMES
        for shape in SHAPES
    }


if __name__ == "__main__":
    text = json.dumps({"seed": SEED, "gain": GAIN, "sha256": hashes()}, indent=1)
    (r.DATA / "orthogonal.json").write_text(text + "\n")
