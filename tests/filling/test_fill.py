# SPDX-License-Identifier: Apache-2.0
"""The one door: outputs, offsets, progress, interrupts, threads, forks, and bad input."""

from __future__ import annotations

import array
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import philinit as pi
from philinit.distributions import TruncatedNormal, Uniform
from philinit.dtypes import as_dtype
from philinit.filling import cpu, threads
from tests.support.processes import run_python

KEY = pi.Key.from_seed(42)
UNIFORM = Uniform(-0.1, 0.1)
DTYPES = ("float32", "float64", "float16", "bfloat16")


def filled(count: int, offset: int = 0, dtype: str = "float32", **keywords: Any) -> Any:
    return pi.fill(np.empty(count, as_dtype(dtype)), UNIFORM, KEY, offset, **keywords)


# --- outputs -----------------------------------------------------------------------------------


def test_returns_the_object_it_was_given() -> None:
    out = np.empty((3, 5), np.float32)
    assert pi.fill(out, UNIFORM, KEY) is out


def test_c_order_of_any_shape() -> None:
    assert np.array_equal(
        pi.fill(np.empty((3, 4, 5), np.float32), UNIFORM, KEY).ravel(), filled(60)
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda n: memoryview(bytearray(4 * n)).cast("f"),
        lambda n: array.array("f", bytes(4 * n)),
        lambda n: np.zeros(2 * n, np.float32)[n:],
        lambda n: np.frombuffer(bytearray(4 * n + 3), np.uint8)[3:].view(np.float32),
    ],
    ids=["memoryview", "array.array", "slice", "misaligned"],
)
def test_memory_of_other_kinds(make: Callable[[int], Any]) -> None:
    out = make(1003)
    pi.fill(out, UNIFORM, KEY, 7)
    assert np.array_equal(np.asarray(out), filled(1003, 7))


def test_memmap(tmp_path: Path) -> None:
    out = np.memmap(tmp_path / "w.bin", np.float32, "w+", shape=(100, 11))
    pi.fill(out, UNIFORM, KEY)
    out.flush()
    assert np.array_equal(np.fromfile(tmp_path / "w.bin", np.float32), filled(1100))


@pytest.mark.parametrize("dtype", DTYPES)
def test_only_the_given_memory_is_written(dtype: str) -> None:
    for start in range(6):
        for count in (0, 1, 2, 3, 5, 63, 2049):
            whole = np.zeros(count + 12, as_dtype(dtype))
            pi.fill(whole[start : start + count], Uniform(1.0, 2.0), KEY, 5)
            written = whole != np.zeros((), whole.dtype)
            assert written[start : start + count].all()
            assert not written[:start].any() and not written[start + count :].any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_streaming_stores_write_the_same_bits(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Aligned or not, past the caches or through them."""
    want = filled(40_000, 3, dtype)
    monkeypatch.setattr(cpu, "STREAMING_BYTES", 0)
    base = np.empty(40_064, as_dtype(dtype))
    for start in (0, 1, 16, 31):
        out = pi.fill(base[start : start + 40_000], UNIFORM, KEY, 3)
        assert out.tobytes() == want.tobytes()


# --- G1: the same bits however a tensor is cut ---------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_g1_threads_and_chunks(dtype: str, threads: int) -> None:
    count = 6 * 4 * cpu.SMALLEST_CHUNK + 77
    whole = filled(count, 0, dtype, threads=1)
    assert filled(count, 0, dtype, threads=threads).tobytes() == whole.tobytes()
    part = filled(count - 1001, 1001, dtype, threads=threads)
    assert part.tobytes() == whole[1001:].tobytes()


def test_g1_across_counter_word_0() -> None:
    """Weights around 4 * 2**32, where counter word 0 wraps; by threads and without."""
    start = 4 * 2**32 - 500_000
    whole = filled(1_000_000, start, threads=2)
    assert np.array_equal(whole[499_990:500_010], filled(20, start + 499_990))
    assert np.array_equal(whole[500_001:], filled(499_999, start + 500_001, threads=1))


def test_offsets_to_the_very_end() -> None:
    assert filled(4, 2**126 - 4).shape == (4,)
    with pytest.raises(ValueError, match="all weights must end at 2\\*\\*126"):
        filled(5, 2**126 - 4)


# --- progress ------------------------------------------------------------------------------------


def test_progress_counts_up_to_the_total_on_the_calling_thread() -> None:
    seen: list[tuple[int, int, int]] = []
    count = 40_000_000  # 39 chunks: the helper cannot have taken all but two
    filled(count, progress=lambda d, t: seen.append((d, t, threading.get_ident())), threads=2)
    done = [d for d, _, _ in seen]
    assert done == sorted(done) and done[-1] == count and len(done) > 2
    assert {t for _, t, _ in seen} == {count}
    assert {i for _, _, i in seen} == {threading.get_ident()}


@pytest.mark.parametrize("count", [0, 1, 1000])
def test_progress_of_small_fills_is_one_call(count: int) -> None:
    seen: list[tuple[int, int]] = []
    filled(count, progress=lambda d, t: seen.append((d, t)))
    assert seen == [(count, count)]


def test_an_exception_in_progress_stops_the_fill_and_leaves_the_pool_usable() -> None:
    def fail(done: int, total: int) -> None:
        raise RuntimeError("enough")

    out = np.zeros(40_000_000, np.float32)
    with pytest.raises(RuntimeError, match="enough"):
        pi.fill(out, Uniform(1.0, 2.0), KEY, progress=fail, threads=2)
    assert not out.all()
    assert np.array_equal(filled(1_000_000, threads=2), filled(1_000_000, threads=1))


# --- interrupts, threads, forks ------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
def test_ctrl_c_stops_within_a_fifth_of_a_second_and_leaves_the_pool_usable() -> None:
    out = np.empty(1_000_000_000, as_dtype("bfloat16"))  # pages that are never reached cost nothing
    filled(10, 0, "bfloat16")  # compiled
    sent: list[float] = []

    def interrupt() -> None:
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.03, interrupt)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        pi.fill(out, UNIFORM, KEY, threads=2)
    assert time.perf_counter() - sent[0] < 0.2
    del out
    assert np.array_equal(filled(1_000_000, threads=2), filled(1_000_000, threads=1))


def test_sixteen_python_threads_at_once_get_the_same_bits() -> None:
    want = {d: filled(3_000_001, 9, d).tobytes() for d in DTYPES}
    names = [DTYPES[i % 4] for i in range(16)]
    with ThreadPoolExecutor(16) as pool:
        got = list(pool.map(lambda d: filled(3_000_001, 9, d, threads=3).tobytes(), names))
    assert all(g == want[d] for g, d in zip(got, names, strict=True))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_the_same_bits_after_fork() -> None:
    result = run_python(
        """
        import hashlib, os, numpy as np, philinit as pi
        def digest():
            out = np.empty(3_000_000, np.float32)
            pi.fill(out, pi.distributions.Uniform(-1, 1), pi.Key.from_seed(1), threads=3)
            return hashlib.sha256(out).hexdigest().encode()
        before = digest()  # the pool has threads now, which the child has not
        read, write = os.pipe()
        if os.fork() == 0:
            os.write(write, digest())
            os._exit(0)
        os.wait()
        print(os.read(read, 64) == before == digest())
        """
    )
    assert result.stdout.strip() == "True", result.stderr


def test_a_fill_while_the_interpreter_shuts_down() -> None:
    result = run_python(
        """
        import atexit, numpy as np, philinit as pi
        def late():
            out = np.zeros(3_000_000, np.float32)
            pi.fill(out, pi.distributions.Uniform(1, 2), pi.Key.from_seed(1), threads=3)
            print(out.all())
        atexit.register(late)
        """
    )
    assert result.stdout.strip() == "True", result.stderr


def test_number_of_threads_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHILINIT_NUM_THREADS", "3")
    assert threads.default_threads() == 3
    for bad in ("0", "two", "-1"):
        monkeypatch.setenv("PHILINIT_NUM_THREADS", bad)
        with pytest.raises(ValueError, match=f"PHILINIT_NUM_THREADS={bad}"):
            filled(1_000_000)
    monkeypatch.delenv("PHILINIT_NUM_THREADS")
    assert threads.default_threads() >= 1


# --- bad input: a sentence, and nothing written --------------------------------------------------

BAD: dict[str, tuple[type[Exception], str, dict[str, Any]]] = {
    "distribution": (TypeError, "`distribution` must be a Uniform", {"distribution": "uniform"}),
    "key": (TypeError, "`key` must be a Key", {"key": 42}),
    "offset negative": (ValueError, "`offset` must not be negative.* offset=-1", {"offset": -1}),
    "offset float": (TypeError, "`offset` must be an int; got offset=1.0", {"offset": 1.0}),
    "offset bool": (TypeError, "`offset` must be an int; got offset=True", {"offset": True}),
    "offset too far": (ValueError, "must end at 2\\*\\*126", {"offset": 2**126}),
    "sampler": (ValueError, '`sampler` must be "native" or "tensorflow"', {"sampler": "numpy"}),
    "sampler unhashable": (ValueError, "`sampler` must be", {"sampler": ["native"]}),
    "threads zero": (ValueError, "`threads` must be at least 1; got threads=0", {"threads": 0}),
    "threads float": (TypeError, "`threads` must be an int or None", {"threads": 2.0}),
    "progress": (TypeError, "`progress` must be callable or None", {"progress": 1}),
    "tensorflow bounds": (
        NotImplementedError,
        'sampler="tensorflow" truncates at lower=-2, upper=2 only, .*use sampler="native"',
        {"sampler": "tensorflow", "distribution": TruncatedNormal(0, 1, -3, 3)},
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_g8_bad_arguments_write_nothing(name: str) -> None:
    error, text, changed = BAD[name]
    out = np.full(100, 7.0, np.float32)
    arguments: dict[str, Any] = {"distribution": UNIFORM, "key": KEY, **changed}
    with pytest.raises(error, match=text):
        pi.fill(out, **arguments)
    assert (out == 7.0).all()


def test_g8_memory_that_cannot_be_written() -> None:
    frozen = np.zeros(4, np.float32)
    frozen.flags.writeable = False
    for out, text in [
        (frozen, "must be writable"),
        (np.zeros((4, 4), np.float32).T[:, :2], "must be C-contiguous"),
        (np.zeros(4, np.int32), "must hold float32, float64, float16, bfloat16"),
        (np.zeros(4, ">f4"), "native byte order"),
    ]:
        with pytest.raises(ValueError, match=text):
            pi.fill(out, TruncatedNormal(), KEY)
