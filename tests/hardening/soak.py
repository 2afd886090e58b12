# SPDX-License-Identifier: Apache-2.0
"""Random calls of the public functions by 8 threads for an hour, checked: `make soak`.

Each call draws distribution, dtype, sampler, shape, offset, threads, part and memory at random. A
few weights at random positions are compared with the oracle (tests/support/reference*.py), parts
with the whole by a call of its own, and the bytes around each output must stay. Resident memory is
read at every turn; from the second tenth of the time to the last its median may grow by GROWTH, no
more. A thread that is silent for STALL seconds is a hang. The report says what ran.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import ctypes
import faulthandler
import importlib.util
import json
import os
import random
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

# Both are read at import: TensorFlow would tell of every warning, JAX look for devices for seconds.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import numpy as np

import philinit as pi
from philinit.tools.measure.machine import machine_facts
from tests.support import reference as r
from tests.support.cases import CASES, Case

CALLERS = 8
GROWTH = 64 << 20  # bytes
M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8  # of glibc's mallopt
STALL = 120.0
LARGEST = 3_000_000
CANARY = 0xA5


def settle_malloc() -> None:
    """Blocks of 128 KiB and more are given back when freed, and all threads share one heap.

    glibc raises the first bound to 32 MiB by itself and has a heap for each thread: freed blocks of
    many sizes then hold some 100 MiB in the process, and a leak of ours would not show.
    """
    with contextlib.suppress(AttributeError):  # another libc
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 128 << 10)
        libc.mallopt(M_ARENA_MAX, 1)


def resident() -> int:
    """Bytes in use; glibc is asked to give back first what was freed."""
    with contextlib.suppress(AttributeError):  # another libc
        ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def shape_of(draw: random.Random) -> tuple[int, ...]:
    """0 to 4 axes; half of them small, some large enough for many threads."""
    size = int(2 ** draw.uniform(0, 12 if draw.random() < 0.7 else LARGEST.bit_length() - 1))
    axes = draw.choice((1, 1, 2, 2, 3, 4))
    shape = [1 + draw.randrange(9) for _ in range(axes - 1)]
    return (*shape, max(size // int(np.prod(shape, initial=1)), 1))


def compare(case: Case, key: pi.Key, offset: int, found: np.ndarray[Any, Any], at: int) -> None:
    """Some weights in a row with the oracle: weight `offset + at` and after."""
    flat = found.reshape(-1)[at : at + 64]
    kind = os.environ.get("PHILINIT_LIBM", "glibc")
    if case.uses_libm and case.dtype == "float64":
        return  # follows the libm of the machine
    r.assert_same_bits(flat, case.weights(key, offset + at, flat.size, kind), case.name)


def a_fill(draw: random.Random) -> None:
    """philinit.fill into memory between canaries, at any alignment."""
    case, key = draw.choice(CASES), pi.Key.from_seed(draw.getrandbits(64))
    dtype, shape = r.DTYPES[case.dtype], shape_of(draw)
    count, before = int(np.prod(shape)), dtype.itemsize * draw.randrange(1, 40)
    raw = np.full(before + count * dtype.itemsize + 64, CANARY, np.uint8)
    out = raw[before : before + count * dtype.itemsize].view(dtype).reshape(shape)
    offset = draw.choice((0, draw.randrange(1 << 20), draw.randrange(1 << 60)))
    threads = draw.choice((None, 1, 2, 3, 8, 1000))
    pi.fill(out, case.distribution, key, offset, sampler=case.sampler, threads=threads)
    compare(case, key, offset, out, draw.randrange(count))
    compare(case, key, offset, out, max(count - 64, 0))
    assert (raw[:before] == CANARY).all() and (raw[-64:] == CANARY).all(), f"{case}: canaries"


def a_part(draw: random.Random) -> None:
    """A shard, or rows by number, against the whole."""
    case, key, shape = draw.choice(CASES), pi.Key.from_seed(draw.getrandbits(64)), shape_of(draw)
    dtype = r.DTYPES[case.dtype]
    how: dict[str, Any] = {"sampler": case.sampler, "threads": draw.choice((None, 1, 2, 5))}
    whole = pi.fill(np.empty(shape, dtype), case.distribution, key, **how)
    part: Any
    if draw.random() < 0.6:
        bounds = [sorted(draw.choices(range(length + 1), k=2)) for length in shape]
        part = pi.Shard(shape, tuple(slice(*pair) for pair in bounds))
    else:
        rows = [draw.randrange(shape[0]) for _ in range(draw.randrange(20))]
        part = pi.Rows(shape, np.array(rows, np.int64))
    found = pi.fill(np.empty(part.shape, dtype), case.distribution, key, shard=part, **how)
    wanted = np.ascontiguousarray(whole[part.index])
    r.assert_same_bits(found, wanted.reshape(found.shape), part)


INITS = (
    pi.GlorotUniform, pi.GlorotNormal, pi.HeUniform, pi.HeNormal, pi.LecunUniform, pi.LecunNormal,
    pi.Normal, pi.Uniform, pi.TruncatedNormal,
)  # fmt: skip


def an_init(draw: random.Random, few: bool = False) -> tuple[Any, str, tuple[int, ...], Any]:
    """An initializer, a dtype, a shape of two axes, and the weights by one call of `init`.

    With `few` one of 40 shapes: TensorFlow and JAX keep some 70 kB for each shape that they meet.
    """
    names = draw.choice(((), ("a",), ("layer", draw.randrange(100))))
    sampler = draw.choice(("native", "tensorflow"))
    init = draw.choice(INITS)(seed=draw.getrandbits(40), names=names, sampler=sampler)
    dtype, shape = draw.choice(sorted(r.DTYPES)), (1 + draw.randrange(300), 1 + draw.randrange(700))
    if few:
        shape = (8 << draw.randrange(5), 1 + 99 * draw.randrange(8))
    weights = init(shape, dtype, threads=draw.choice((None, 1, 4)))
    return init, dtype, shape, weights


def a_call(draw: random.Random) -> None:
    """init(shape), init.fill(out), and the oracle with the distribution that init names."""
    init, dtype, shape, weights = an_init(draw)
    case = Case("", init.distribution_for(shape), dtype, init.sampler)
    cut = getattr(case.distribution, "lower", -2.0), getattr(case.distribution, "upper", 2.0)
    assert cut == (-2.0, 2.0)
    compare(case, init.key, 0, weights, draw.randrange(weights.size))
    out = np.empty(shape, r.DTYPES[dtype])
    assert init.fill(out) is out
    r.assert_same_bits(out, weights, init)


def a_torch(draw: random.Random) -> None:
    import torch

    import philinit.torch as pt

    init, dtype, shape, weights = an_init(draw)
    tensor = torch.empty(shape, dtype=getattr(torch, dtype))
    if init.__class__ not in (pi.Normal, pi.Uniform, pi.TruncatedNormal):
        init = pt.layout(init)
        weights = init(shape, dtype)
    pt.fill_(tensor, init)
    assert tensor.view(torch.uint8).numpy().tobytes() == weights.tobytes(), init


def a_tensorflow(draw: random.Random) -> None:
    import philinit.tensorflow as pit

    init, dtype, shape, weights = an_init(draw, few=True)
    variable = pit.variable(init, shape, dtype)
    assert variable.numpy().tobytes() == weights.tobytes(), init


def a_jax(draw: random.Random) -> None:
    import philinit.jax as pij

    init, dtype, shape, weights = an_init(draw, few=True)
    if dtype != "float64":  # which JAX has only when asked
        assert np.asarray(pij.array(init, shape, dtype)).tobytes() == weights.tobytes(), init


class Soak:
    """What all callers share."""

    def __init__(self, seconds: float, seed: int) -> None:
        self.calls: collections.Counter[str] = collections.Counter()
        self.failures: list[str] = []
        self.ends, self.lock = time.monotonic() + seconds, threading.Lock()
        self.seen = [time.monotonic()] * CALLERS
        self.work = [a_fill, a_fill, a_part, a_call]
        present = [("torch", a_torch), ("tensorflow", a_tensorflow), ("jax", a_jax)]
        self.work += [work for name, work in present if importlib.util.find_spec(name)]
        self.seed = seed

    def call(self, number: int) -> None:
        turn = 0
        while time.monotonic() < self.ends and len(self.failures) < 20:
            seed = f"{self.seed} {number} {turn}"
            draw = random.Random(seed)
            work = draw.choice(self.work)
            try:
                work(draw)
            except BaseException:  # whatever it is, it is what is looked for
                with self.lock:
                    self.failures.append(f"{work.__name__}, {seed!r}: {traceback.format_exc()}")
            with self.lock:
                self.calls[work.__name__] += 1
            self.seen[number], turn = time.monotonic(), turn + 1


def main() -> None:
    """Run; exit 1 where a call gave other weights, memory grew, or a thread hangs."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, default=Path("build/soak.json"))
    options = parser.parse_args()
    faulthandler.enable()
    settle_malloc()
    soak = Soak(60 * options.minutes, options.seed)
    for number, work in enumerate(dict.fromkeys(soak.work)):
        work(random.Random(number))  # imports and compiles, one after the other
    begun = time.monotonic()
    soak.ends = begun + 60 * options.minutes
    threads = [threading.Thread(target=soak.call, args=(n,), daemon=True) for n in range(CALLERS)]
    for thread in threads:
        thread.start()
    sizes: list[int] = []
    while any(thread.is_alive() for thread in threads):
        time.sleep(min(1.0, options.minutes))
        sizes.append(resident())
        silent = time.monotonic() - min(soak.seen)
        if silent > STALL and time.monotonic() < soak.ends:
            faulthandler.dump_traceback()
            soak.failures.append(f"a thread has been silent for {silent:.0f} s")
            break
    tenth = max(len(sizes) // 10, 1)
    settled = int(np.median(sizes[tenth : 2 * tenth] or sizes))
    last = int(np.median(sizes[-tenth:]))
    grown = last - settled
    if grown > GROWTH:
        soak.failures.append(f"resident memory has grown by {grown >> 20} MiB")
    report = {
        "machine": machine_facts(None), "minutes": (time.monotonic() - begun) / 60,
        "seed": options.seed, "threads": CALLERS, "calls": dict(soak.calls),
        "all calls": sum(soak.calls.values()), "failures": soak.failures,
        "resident MiB, median": {"second tenth": settled >> 20, "last tenth": last >> 20},
    }  # fmt: skip
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(report, indent=1))
    print(json.dumps({k: v for k, v in report.items() if k != "machine"}, indent=1))
    sys.stdout.flush()
    os._exit(bool(soak.failures))  # a thread that hangs is no reason to wait


if __name__ == "__main__":
    main()
