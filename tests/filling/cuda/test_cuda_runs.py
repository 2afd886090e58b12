# SPDX-License-Identifier: Apache-2.0
"""Boxes and rows by the CUDA backend, through a stand-in for CuPy: one launch, and ids that live.

No GPU takes part: tests/support/cupy_stand_in.py says what stands for it. Expected bits are those
of the whole tensor on the CPU.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import philinit as pi
from philinit.distributions import Normal, TruncatedNormal, Uniform
from philinit.dtypes import as_dtype
from philinit.filling.cuda import compiler as cuda_compiler
from philinit.filling.cuda import launch as cuda
from philinit.kernels.plan import plan
from philinit.keyed import WIDTH_LIMIT
from philinit.tools.selftest.cases import described
from philinit.tools.selftest.golden import SHA256
from tests.support import cuda_host, cupy_memory
from tests.support import cupy_stand_in as stand_in
from tests.support import reference as r

KEY = pi.Key.from_seed(42)
UNIFORM = Uniform(-0.1, 0.1)
DTYPES = ("float32", "float64", "float16", "bfloat16")
by_dtype = pytest.mark.parametrize("dtype", DTYPES)
IDS = [7, 0, 39, 7, 12]

pytestmark = pytest.mark.skipif(cuda_host.compiler() is None, reason="needs g++")


def launches() -> list[stand_in.Call]:
    return stand_in.names("launch")


def on_cpu(shape: tuple[int, ...], offset: int = 0, dtype: str = "float32") -> Any:
    return pi.fill(np.empty(shape, as_dtype(dtype)), UNIFORM, KEY, offset)


def huge(cupy: Any, shape: tuple[int, ...], dtype: str = "float32") -> Any:
    """Memory of a device that nobody has; launches on it are looked at as they are queued."""
    nbytes = math.prod(shape) * as_dtype(dtype).itemsize
    held = cupy.cuda.UnownedMemory(1 << 40, nbytes, None, 0)
    array = object.__new__(cupy.ndarray)
    array.data = cupy.cuda.MemoryPointer(held, 0)
    array._host = np.ndarray(shape, as_dtype(dtype), np.lib.stride_tricks.as_strided(
        np.empty(1, np.uint8), (nbytes,), (1,)
    ))  # fmt: skip
    return array


# --- bits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in SHA256 if name != "words"])
def test_g1_boxes_and_rows_have_the_bits_of_the_whole_tensor(cupy: Any, name: str) -> None:
    what, dtype, sampler = described(name)
    shape, offset = (40, 5, 30), 2**34 - 1001
    whole = pi.fill(np.empty(shape, dtype), what, KEY, offset, sampler=sampler)
    index = (slice(3, 38), slice(1, 4), slice(5, 28))
    for part, want in (
        (pi.Shard(shape, index), whole[index]),
        (pi.Shard(shape, (slice(None), 2)), whole[:, 2]),
        (pi.Rows(shape, IDS), whole[IDS]),
    ):
        base = cupy.empty(want.size + 8, dtype)
        out = base[3 : 3 + want.size].reshape(want.shape)
        pi.fill(out, what, KEY, offset, shard=part, sampler=sampler)
        r.assert_same_bits(cupy.asnumpy(out), np.ascontiguousarray(want), name)
        edge = cupy.asnumpy(base).view(np.uint8)  # and nothing beside it
        assert (edge[: 3 * dtype.itemsize] == stand_in.POISON).all()
        assert (edge[(3 + want.size) * dtype.itemsize :] == stand_in.POISON).all()
    assert [call[9] for call in launches()] == ["runs"] * 3


@by_dtype
def test_initializers(cupy: Any, dtype: str) -> None:
    init = pi.HeNormal(seed=5)
    whole = init((40, 30), dtype)
    w = init.rows((40, 30), [[3, 1], [3, 39]], dtype, device="cuda:1")
    assert w.device.id == 1
    assert cupy.asnumpy(w).tobytes() == whole[[[3, 1], [3, 39]]].tobytes()
    w = init.shard((40, 30), (slice(None), slice(8, 16)), dtype, device="cuda:1")
    assert cupy.asnumpy(w).tobytes() == np.ascontiguousarray(whole[:, 8:16]).tobytes()
    keys = [[3, 2**64 - 1], [-5, 3]]
    w = init.rows_by_key(30, keys, dtype, global_shape=(40, 30), device="cuda:1")
    want = init.rows_by_key(30, keys, dtype, global_shape=(40, 30))
    assert cupy.asnumpy(w).tobytes() == want.tobytes()
    assert [call[2] for call in launches()] == [1, 1, 1]
    assert cupy.cuda.Device().id == 0


def test_what_spans_almost_two_to_the_62(cupy: Any) -> None:
    shape = (1 << 40, 1 << 22)
    box = pi.Shard(shape, (slice((1 << 40) - 9, None), slice(5, 90)))
    rows = pi.Rows(shape, [(1 << 40) - 1, 0, 1 << 39])
    for part in (box, rows):
        out = pi.fill(cupy.empty(part.shape, np.float32), UNIFORM, KEY, 2**63 + 1, shard=part)
        want = pi.fill(np.empty(part.shape, np.float32), UNIFORM, KEY, 2**63 + 1, shard=part)
        assert cupy.asnumpy(out).tobytes() == want.tobytes()


# --- launches ------------------------------------------------------------------------------------


def test_one_launch_on_the_current_stream_and_nobody_waits(cupy: Any) -> None:
    with cupy.cuda.Device(1):
        box, rows = cupy.empty((40, 7), np.float32), cupy.empty((5, 30), np.float32)
    stream = cupy.cuda.Stream()
    with stream:
        pi.fill(box, UNIFORM, KEY, shard=pi.Shard((40, 30), (slice(None), slice(9, 16))))
        pi.fill(rows, UNIFORM, KEY, shard=pi.Rows((40, 30), IDS))
    assert [call[1:4] for call in launches()] == [("uniform_float32", 1, stream.ptr)] * 2
    assert [call[6:] for call in launches()] == [
        (box.data.ptr, 280, 1, "runs"),
        (rows.data.ptr, 150, 0, "runs"),
    ]
    assert stand_in.names("asarray") == [("asarray", 1, stream.ptr, (5,))]
    assert stand_in.names("synchronize") == []
    assert (box._host.view(np.uint8) == stand_in.POISON).all()
    with cupy.cuda.Device(1):
        stream.synchronize()
    assert box._host.tobytes() == np.ascontiguousarray(on_cpu((40, 30))[:, 9:16]).tobytes()
    assert rows._host.tobytes() == on_cpu((40, 30))[IDS].tobytes()


def test_ids_are_the_callers_no_more(cupy: Any) -> None:
    """Neither a change of the caller's array nor its end changes what is drawn."""
    ids = np.array(IDS)
    out = cupy.empty((5, 30), np.float32)
    pi.fill(out, UNIFORM, KEY, shard=pi.Rows((40, 30), ids))
    ids[:] = 0
    del ids
    # What the pool gives to the next user of the stream is written behind the kernel only.
    later = cupy.asarray(np.zeros(5, np.int64))
    assert cupy.asnumpy(out).tobytes() == on_cpu((40, 30))[IDS].tobytes()
    del later


def test_kernels_are_compiled_when_they_are_used(tmp_path: Path) -> None:
    init = pi.GlorotUniform(seed=1)
    with stand_in.installed(tmp_path):
        for dtype, count in (("float32", 1), ("float16", 2)):
            init((4, 4), dtype, device="cuda")
            assert len(stand_in.names("compile")) == count
        for index, count in ((slice(2), 2), ((slice(4), 1), 3), ((slice(4), 2), 3)):
            init.shard((4, 4), index, device="cuda")
            assert len(stand_in.names("compile")) == count
        init.rows((4, 4), [1], device="cuda")
        init.rows((4, 4), [1], device="cuda:1")
        assert len(stand_in.names("compile")) == 3
        assert len(stand_in.names("load")) == 4
    kinds = sorted(file.name.partition("-")[2] for file in tmp_path.iterdir())
    assert kinds == [
        "fill-uniform_float16.cubin",
        "fill-uniform_float32.cubin",
        "runs-uniform_float32.cubin",
    ]


@by_dtype
def test_empty_parts_launch_nothing(cupy: Any, dtype: str) -> None:
    seen: list[tuple[int, int]] = []
    init = pi.GlorotUniform(seed=1)
    for part in (
        pi.Shard((4, 6), (slice(2, 2), slice(1, 3))),
        pi.Rows((4, 6), []),
        pi.Rows((4, 0), [1, 2]),
    ):
        w = init.fill(
            cupy.empty(part.shape, as_dtype(dtype)),
            shard=part,
            progress=lambda *a: seen.append(a),
        )
        assert w.size == 0
    assert launches() == []
    assert stand_in.names("asarray") == []
    assert seen == [(0, 0)] * 3


@by_dtype
def test_rows_that_lie_apart_are_one_launch(cupy: Any, dtype: str) -> None:
    for init in (pi.GlorotUniform(seed=1), pi.Constant(0.5)):
        wide = cupy.asarray(np.full((6, 7, 40), 7, as_dtype(dtype)))
        want = np.full((6, 7, 40), 7, as_dtype(dtype))
        init.fill(wide[1:, 2:5, 3:28])
        want[1:, 2:5, 3:28] = init((5, 3, 25), dtype)
        assert cupy.asnumpy(wide).tobytes() == want.tobytes()
    assert len(launches()) == 1


def test_more_than_eight_axes_are_a_launch_for_each_place_of_the_others(cupy: Any) -> None:
    shape = (3, *[2, 3] * 9)
    index = (slice(0, 2), *[slice(None), slice(1, 3)] * 3, *[0, slice(1, 3)] * 6)
    box = pi.Shard(shape, index)
    (count, _), *inner = box.as_runs.axes
    assert (count, len(inner)) == (4, 8)
    out = pi.fill(cupy.empty(box.shape, np.float32), UNIFORM, KEY, shard=box)
    assert [call[7] for call in launches()] == [out.size // 4] * 4
    want = on_cpu(shape)[index]
    assert cupy.asnumpy(out).tobytes() == np.ascontiguousarray(want).tobytes()


def test_more_steps_than_32_bits_can_count(cupy: Any) -> None:
    shape = (1 << 20, 1 << 14)
    out = huge(cupy, shape)
    box = pi.Shard((1 << 20, 1 << 15), (slice(None), slice(1 << 14)))
    pi.fill(out, UNIFORM, KEY, 7, shard=box)
    place = 1 << 40
    for call in launches():
        _, _, _, _, grid, _, address, count, skip, loop = call
        assert (address, skip, loop) == (place, 3, "runs")
        assert count // 4 < 1 << 31
        assert grid == (stand_in.MULTIPROCESSORS * stand_in.RESIDENT,)
        place += 4 * count
    assert len(launches()) == 3
    assert place == (1 << 40) + (4 << 34)
    cupy_memory.queues.clear()


def test_a_run_that_32_bits_cannot_count_is_a_contiguous_fill(cupy: Any) -> None:
    rows = pi.Rows((9, 1 << 32), [8, 0, 8])
    pi.fill(huge(cupy, rows.shape), UNIFORM, KEY, 1, shard=rows)
    box = pi.Shard((2, 1 << 33), (slice(None), slice(1, 1 + (1 << 32))))
    pi.fill(huge(cupy, box.shape), UNIFORM, KEY, shard=box)
    assert [call[6:] for call in launches()] == [
        ((1 << 40) + (place << 34), 1 << 32, 1, "fill") for place in (0, 1, 2, 0, 1)
    ]
    assert stand_in.names("asarray") == []
    cupy_memory.queues.clear()


# --- progress ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "steps"),
    [
        (pi.Shard((50, 4, 60), (slice(None), slice(1, 3), slice(7, 47))), [960, 1920, 2880, 3840]),
        (pi.Rows((90, 300), [5, 80, 5, 4]), [900]),
        (pi.Rows((90, 2100), [5, 80]), [1000, 2000, 2100, 3100, 4100]),
    ],
    ids=["box", "rows", "long rows"],
)
def test_progress_waits_for_each_piece(
    cupy: Any, monkeypatch: pytest.MonkeyPatch, part: Any, steps: list[int]
) -> None:
    monkeypatch.setattr(cuda, "PIECE", 1000)
    seen: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        seen.append((done, total))
        assert sum(call[2] for call in stand_in.names("run")) >= done

    out = cupy.empty(part.shape, np.float32)
    pi.fill(out, UNIFORM, KEY, shard=part, progress=progress)
    assert seen == [(done, out.size) for done in (*steps, out.size)]
    want = pi.fill(np.empty(part.shape, np.float32), UNIFORM, KEY, shard=part)
    assert out._host.tobytes() == want.tobytes()
    assert len(stand_in.names("asarray")) <= 1


def test_progress_of_rows_by_key(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert WIDTH_LIMIT <= cuda.PIECE  # so that every launch has a whole row
    monkeypatch.setattr(cuda, "PIECE", 1000)
    seen: list[tuple[int, int]] = []
    keys = [5, 2**63, 5, 2**64 - 1, 0]
    w = pi.Uniform(seed=1).rows_by_key(
        300, keys, device="cuda", progress=lambda *call: seen.append(call)
    )
    assert seen == [(900, 1500), (1500, 1500)]
    assert cupy.asnumpy(w).tobytes() == pi.Uniform(seed=1).rows_by_key(300, keys).tobytes()


# --- G8: a sentence, and nothing queued ----------------------------------------------------------


def test_g8_arguments_that_are_wrong_queue_nothing(cupy: Any) -> None:
    box, rows = pi.Shard((4, 6), (slice(4), slice(2, 5))), pi.Rows((40, 3), [1, 5, 2, 0])
    out = cupy.empty((4, 3), np.float32)
    for part in (box, rows):
        for kind, text, call in (
            (ValueError, "must have the shape of the shard", lambda p: pi.fill(
                cupy.empty((3, 4), np.float32), UNIFORM, KEY, shard=p)),
            (NotImplementedError, 'float64: use sampler="native"', lambda p: pi.fill(
                cupy.empty((4, 3), np.float64), Normal(), KEY, shard=p, sampler="tensorflow")),
            (ValueError, "must be a multiple of 256", lambda p: pi.fill(
                out, TruncatedNormal(), pi.Key((1, 2), 3), shard=p, sampler="tensorflow")),
            (ValueError, "must end at 2", lambda p: pi.fill(
                out, UNIFORM, KEY, 2**126 - 9, shard=p)),
            (ValueError, "C-contiguous; got shape", lambda p: pi.fill(
                cupy.empty((3, 4), np.float32).T, UNIFORM, KEY, shard=p)),
        ):  # fmt: skip
            with pytest.raises(kind, match=text):
                call(part)
    assert launches() == []
    assert stand_in.names("asarray") == []


def test_g8_no_memory_for_the_ids_means_no_launch(
    cupy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(host: Any) -> Any:
        raise MemoryError("out of memory")

    monkeypatch.setattr(cupy, "asarray", full)
    with pytest.raises(MemoryError, match="out of memory"):
        pi.fill(cupy.empty((5, 30), np.float32), UNIFORM, KEY, shard=pi.Rows((40, 30), IDS))
    assert launches() == []


# --- the stand-in can fail -----------------------------------------------------------------------


def test_the_stand_in_would_catch_ids_on_another_stream_or_device(
    cupy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, other = cupy.asarray, cupy.cuda.Stream()
    out, rows = cupy.empty((5, 30), np.float32), pi.Rows((40, 30), IDS)

    def on_other_stream(host: Any) -> Any:
        with other:
            return real(host)

    monkeypatch.setattr(cupy, "asarray", on_other_stream)
    pi.fill(out, UNIFORM, KEY, shard=rows)
    with pytest.raises(AssertionError, match=r"ids were not there"):  # not yet
        cupy.cuda.get_current_stream().synchronize()
    pi.fill(out, UNIFORM, KEY, shard=rows)
    other.synchronize()
    with pytest.raises(AssertionError, match=r"or no longer"):
        cupy.cuda.get_current_stream().synchronize()

    def on_other_device(host: Any) -> Any:
        with cupy.cuda.Device(1):
            return real(host)

    monkeypatch.setattr(cupy, "asarray", on_other_device)
    with pytest.raises(AssertionError, match=r"ids on another device"):
        pi.fill(out, UNIFORM, KEY, shard=rows)


def test_the_stand_in_would_catch_another_layout_of_the_struct(cupy: Any) -> None:
    kernel = cuda_compiler.loaded(cupy, 0, "uniform_float32", "runs")
    out = cupy.empty(30, np.float32)
    found = plan(UNIFORM, out.dtype, "native")
    with pytest.raises(AssertionError, match=r"what CuPy passes by value"):
        cuda._call(kernel, 8, out.data.ptr, np.zeros(1, np.float64), found, KEY, 0)
