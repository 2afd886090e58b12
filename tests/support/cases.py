# SPDX-License-Identifier: Apache-2.0
"""What is tested: a case for every kernel, and the files in tests/data that freeze their bits.

``python -m tests.support.cases`` writes golden.json, vectors.json and keys.json. What is in them
comes from the oracles, never from the code that they test.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from philinit.distributions import Distribution, Normal, TruncatedNormal, Uniform
from philinit.filling.fill import draw, fill
from philinit.kernels.libm import libm
from philinit.kernels.plan import plan
from philinit.keyed import rows_of
from philinit.keys import Key
from philinit.parts import Rows, Shard
from philinit.targets import Target
from tests.support import reference as r
from tests.support import reference_tensorflow as tensorflow
from tests.support import reference_words as rw

# What `philinit selftest` reads: the copy that is installed.
SHIPPED = Path(__file__).parents[2] / "src" / "philinit" / "tools" / "selftest" / "golden.json"


@dataclass(frozen=True)
class Case:
    """A distribution, a dtype and a sampler; `kernel` is the one that must draw them."""

    kernel: str
    distribution: Distribution
    dtype: str
    sampler: str = "native"

    @property
    def name(self) -> str:
        return f"{self.kernel.replace('float8', self.dtype)}-{self.distribution}"

    @property
    def uses_libm(self) -> bool:
        """Whether logf, sinf and cosf of either kind, or this machine's log, sin and cos decide."""
        return self.sampler == "tensorflow" and isinstance(self.distribution, Normal)

    @property
    def frozen(self) -> bool:
        """Whether the bits are the same on all machines."""
        return not (self.uses_libm and self.dtype == "float64")

    @property
    def reserved(self) -> int:
        """Counter blocks from one group of weights to the next."""
        if not (self.uses_libm and isinstance(self.distribution, TruncatedNormal)):
            return 1
        return 128 if self.dtype == "float64" else 256

    def weights(self, key: Key, offset: int, count: int, kind: str = "glibc") -> r.Array:
        """The oracle's weights `offset`, `offset + 1`, ... of a stream."""
        dtype = r.DTYPES[self.dtype]
        if self.sampler == "tensorflow":
            return tensorflow.weights(self.distribution, dtype, key, offset, count, kind)
        return r.weights(self.distribution, dtype, key, offset, count)


def _cases() -> list[Case]:
    cases = []
    small = ("float32", "float16", "bfloat16")
    for dtype in (*small, "float64"):
        cases += [Case(f"uniform_{dtype}", Uniform(*b), dtype) for b in ((-0.05, 0.05), (-3, 2.5))]
        if dtype in ("float32", "float64"):
            cases += [Case(f"uniform_{dtype}", Uniform(), dtype)]
        else:
            cases += [
                Case(f"uniform_clamped_{dtype}", Uniform(*b), dtype) for b in ((0, 1), (100, 101))
            ]
        normal = "bounded" if dtype == "float64" else "normal"
        cases += [Case(f"{normal}_{dtype}", Normal(*p), dtype) for p in ((0, 0.02), (1.5, 0.3))]
    for dtype in small:
        cases += [
            Case(f"truncated_{dtype}", TruncatedNormal(*p), dtype) for p in ((0, 0.1), (0.02, 0.1))
        ]
        if dtype != "float32":
            cases += [Case(f"truncated_clamped_{dtype}", TruncatedNormal(1.0, 0.02), dtype)]
    for dtype in (*small, "float64"):
        cases += [
            Case(f"bounded_{dtype}", TruncatedNormal(*p), dtype)
            for p in ((0.0, 0.1, -3.0, 3.0), (0.5, 2.0, 1.0, math.inf), (0.0, 1.0, -1.0, 4.0))
        ]
    cases += [Case("bounded_float64", TruncatedNormal(0.0, 0.1), "float64")]
    cases += [
        Case(f"bounded_far_{dtype}", TruncatedNormal(0.5, 0.1, 4, 9), dtype) for dtype in small
    ]
    cases += _float8_cases()
    for dtype in r.OF_TENSORFLOW:
        drawn: list[tuple[str, Distribution]] = [
            *(("uniform", Uniform(*b)) for b in ((0, 1), (-0.05, 0.05))),
            *(("normal", Normal(*p)) for p in ((0, 1), (1.5, 0.3))),
            *(("truncated", TruncatedNormal(*p)) for p in ((0, 0.1), (0.02, 0.1))),
        ]
        cases += [Case(f"tensorflow_{map_}_{dtype}", d, dtype, "tensorflow") for map_, d in drawn]
    return cases


def _float8_cases() -> list[Case]:
    """All kernels in one format, and what tells the formats apart in the others."""
    drawn: list[tuple[str, Distribution]] = [
        *(("uniform", Uniform(*b)) for b in ((-0.05, 0.05), (-3, 2.5))),
        *(("uniform_clamped", Uniform(*b)) for b in ((0, 1), (100, 113))),
        *(("normal", Normal(*p)) for p in ((0, 0.02), (1.5, 0.3))),
        *(("truncated", TruncatedNormal(*p)) for p in ((0, 0.1), (0.02, 0.1))),
        ("truncated_clamped", TruncatedNormal(1.0, 0.2)),
        *(("bounded", TruncatedNormal(*p)) for p in ((0, 0.1, -3, 3), (0.5, 2, 1, math.inf))),
        ("bounded_far", TruncatedNormal(0.5, 0.1, 4, 9)),
    ]
    first, *others = r.FLOAT8
    cases = [Case(f"{map_}_float8", d, first) for map_, d in drawn]
    for dtype in others:
        cases += [Case(f"{map_}_float8", d, dtype) for map_, d in (drawn[0], drawn[2], drawn[4])]
    return cases


CASES = _cases()

# One case for each kernel, for what does not depend on parameters.
ONE_EACH = list({case.kernel: case for case in CASES}.values())


@contextlib.contextmanager
def libm_of(kind: str | None) -> Iterator[None]:
    """PHILINIT_LIBM set to `kind`, or not set."""

    def put(value: str | None) -> None:
        os.environ.pop("PHILINIT_LIBM", None)
        if value is not None:
            os.environ["PHILINIT_LIBM"] = value
        libm.cache_clear()
        plan.cache_clear()

    before = os.environ.get("PHILINIT_LIBM")
    put(kind)
    try:
        yield
    finally:
        put(before)


# --- golden hashes: two offsets, an odd number of weights ----------------------------------------

COUNT = 100_003
OFFSETS = (0, 2**40 + 3)
SEED = 20240607


def hashes(case: Case) -> list[str]:
    """SHA-256 of the tensors that `philinit.fill` makes."""
    key, out = Key.from_seed(SEED), np.empty(COUNT, r.DTYPES[case.dtype])
    return [
        r.digest(fill(out, case.distribution, key, offset, sampler=case.sampler))
        for offset in OFFSETS
    ]


def parts_agree(case: Case) -> bool:
    """Whether a box, rows by number and rows by key are what contiguous fills give."""
    key, shape, dtype = Key.from_seed(SEED), (300, 5, 33), r.DTYPES[case.dtype]
    how: dict[str, Any] = {"sampler": case.sampler}
    whole = fill(np.empty(shape, dtype), case.distribution, key, **how)
    agree = True
    for shard in (
        Shard(shape, (slice(1, 299), slice(0, 4), slice(2, 31))),
        Rows(shape, np.arange(299, -1, -7)),
    ):
        part = fill(np.empty(shard.shape, dtype), case.distribution, key, shard=shard, **how)
        agree &= part.tobytes() == np.ascontiguousarray(whole[shard.index]).tobytes()
    rows = rows_of(33, np.array(ROW_KEYS * 9, np.uint64))
    out, row = np.empty(rows.shape, dtype), np.empty(33, dtype)
    draw(Target(out, rows.global_shape, rows), case.distribution, key, case.sampler)
    for found, row_key in zip(out, ROW_KEYS * 9, strict=True):
        wanted = fill(row, case.distribution, rw.row_stream(key, row_key), **how)
        agree &= found.tobytes() == wanted.tobytes()
    return agree


def golden() -> dict[str, Any]:
    """SHA-256 of whole tensors, as the oracles compute them."""
    key = rw.key_of_seed(SEED)

    def expected(case: Case, kind: str = "") -> list[str]:
        return [r.digest(case.weights(key, offset, COUNT, kind)) for offset in OFFSETS]

    return {
        "about": "SHA-256 of the little-endian bytes; written by tests/support/cases.py",
        "sampler version": 1,
        "seed": SEED,
        "count": COUNT,
        "offsets": list(OFFSETS),
        "sha256": {
            "words": [r.digest(rw.words(key, offset, COUNT)) for offset in OFFSETS],
            **{case.name: expected(case) for case in CASES if not case.uses_libm},
        },
        "about sha256 by libm": "with PHILINIT_LIBM=glibc and =rounded; TensorFlow's normals in "
        "float64 are not here, because they are those of the machine's own log, sin and cos",
        "sha256 by libm": {
            kind: {
                case.name: expected(case, kind) for case in CASES if case.uses_libm and case.frozen
            }
            for kind in tensorflow.KINDS
        },
    }


# --- rows by key ---------------------------------------------------------------------------------

ROW_KEYS = (0, 1, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1, 0x123456789ABCDEF0)
ROW_CASES = [
    case
    for case in CASES
    if case.frozen and case.distribution in (Uniform(-0.05, 0.05), Normal(0, 0.02), Normal(0, 1))
]


def rows_by_key() -> list[dict[str, Any]]:
    """Counters of rows, and the first seven weights that kernels make of them."""
    rows = []
    for seed, row_key in [(42, row_key) for row_key in ROW_KEYS] + [(-1, 7), (2**100, 7)]:
        key = rw.row_stream(rw.key_of_seed(seed), row_key)
        weights = {c.name: r.hex_numbers(c.weights(key, 0, 7)) for c in ROW_CASES}
        row = {"seed": seed, "row key": row_key, "counter": f"{key.base:032x}"}
        rows.append({**row, "words": r.hex_words(rw.words(key, 0, 8)), "weights": weights})
    return rows


# --- vectors: single words, and the numbers made of them -----------------------------------------

# The low 23 bits of words that give a radius: the ends, and where the kinds of logf differ.
RADIUS_WORDS = (
    *(0x000000, 0x000001, 0x000002, 0x3FFFFF, 0x400000, 0x400001, 0x599999, 0x59999A, 0x7FFFFE),
    *(0x7FFFFF, 0x79A8CB, 0x6E3E89, 0x5CD66E, 0x5A0F1F, 0x2029BE),
)
# And an angle: around quarters and eighths of a turn, and where the kinds of sinf and cosf differ.
ANGLE_WORDS = (
    *(0x000000, 0x000001, 0x000146, 0x0FFFFF, 0x100000, 0x1FFFFF, 0x200000, 0x200001, 0x2FFFFF),
    *(0x300001, 0x3FFFFF, 0x400000, 0x400001, 0x5FFFFF, 0x600000, 0x600001, 0x7FFFFF, 0x35E0C1),
    *(0x02A91F, 0x4CC891, 0x1273D3, 0x6B8586, 0x501F6F),
)


def normal_words() -> r.Array:
    """Each radius with three angles, every angle among them; the upper nine bits are noise."""
    noise = np.random.default_rng(3).integers(0, 1 << 9, (3 * len(RADIUS_WORDS), 2))
    pairs = [
        (radius, ANGLE_WORDS[(3 * i + j) % len(ANGLE_WORDS)])
        for i, radius in enumerate(RADIUS_WORDS)
        for j in range(3)
    ]
    stream = (np.array(pairs) | noise << 23).astype(np.uint32).ravel()
    return stream[: len(stream) // 4 * 4]


def normals_of(raw: r.Array, case: Case, kind: str) -> r.Array:
    """What the oracle makes of whole counter blocks."""
    z = tensorflow.box_muller32(raw.reshape(-1, 4), kind).ravel()
    return tensorflow.from_normal(z, case.distribution, r.DTYPES[case.dtype])


def vectors() -> dict[str, Any]:
    """Single words and the numbers that each map makes of them."""
    maps = {}
    for case in CASES:
        if not case.uses_libm:
            dtype = r.DTYPES[case.dtype]
            maps[case.name] = r.hex_numbers(numbers_of(r.extreme_words(dtype), case))
    return {
        "about": "maps[kernel-distribution][i] is made from words32[i], or words64[i] in float64; "
        "written by tests/support/cases.py",
        "words32": r.hex_words(r.extreme_words(r.FLOAT32)),
        "words64": r.hex_words(r.extreme_words(r.FLOAT64)),
        "maps": maps,
        "about normals": "normals[libm][kernel-distribution][i] is made from the pair of words "
        "i - i mod 2 of `words`, with PHILINIT_LIBM=libm. Truncated normals have none: their "
        "first counter is a multiple of 256, so their words cannot be chosen",
        "words": r.hex_words(normal_words()),
        "normals": {
            kind: {
                case.name: r.hex_numbers(normals_of(normal_words(), case, kind))
                for case in CASES
                if case.uses_libm and case.frozen and case.reserved == 1
            }
            for kind in tensorflow.KINDS
        },
        "about rows by key": "counter is that of block 0, as a number of 128 bits; words are those "
        "of blocks 0 and 1; TensorFlow's normals are those of PHILINIT_LIBM=glibc",
        "rows by key": rows_by_key(),
    }


def numbers_of(raw: r.Array, case: Case) -> r.Array:
    """What the oracle makes of words where no other word matters, as `r.feed` takes them."""
    dtype = r.DTYPES[case.dtype]
    if case.sampler == "native":
        return r.weights_of(raw, case.distribution, dtype)
    if raw.dtype == np.uint64:
        raw = np.stack([raw, raw >> np.uint64(32)], 1).astype(np.uint32).ravel()
    return tensorflow.from_uniform(raw, case.distribution, dtype)  # type: ignore[arg-type]


def known_keys() -> dict[str, Any]:
    """Keys of seeds, and of names and numbers folded into them."""

    def entry(key: Key) -> dict[str, Any]:
        return {"words": [f"{w:08x}" for w in key.words], "base": f"{key.base:032x}"}

    seeds = [0, 1, -1, 42, 2**31 - 1, 2**32, 2**63 - 1, -(2**63), 2**63, 2**64 - 1, 2**64]
    seeds += [-(2**63) - 1, 2**128 - 1, -(2**127)]
    names: list[list[int | str]] = [
        *([0], [1], [-1], [2**70], ["0"], [""], ["kernel"], ["dense_1/kernel"], ["gewicht-\u00e4"]),
        *(["a", "b"], [1, 2], ["layer", 7, "bias"]),
    ]
    folded = []
    for seed in (0, 42):
        for data in names:
            key = rw.key_of_seed(seed)
            for part in data:
                key = rw.fold_in(key, part)
            folded.append({"seed": seed, "data": data, **entry(key)})
    return {
        "about": "keys of seeds and of fold_in in turn; written by tests/support/cases.py",
        "seeds": {str(seed): entry(rw.key_of_seed(seed)) for seed in seeds},
        "fold_in": folded,
    }


def main() -> None:
    contents = {"golden": golden(), "vectors": vectors(), "keys": known_keys()}
    for name, content in contents.items():
        path = r.DATA / f"{name}.json"
        path.write_text(json.dumps(content, indent=1) + "\n")
        print(path)
    shutil.copy(r.DATA / "golden.json", SHIPPED)
    print(SHIPPED)


if __name__ == "__main__":
    main()
