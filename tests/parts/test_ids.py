# SPDX-License-Identifier: Apache-2.0
"""Ids of rows, in whatever CPU memory they lie: the kernel reads them there, and nothing is copied.

Their address is looked at where the kernel is told it. Ids on a device: test_cuda_ids.py.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

import philinit as pi
from philinit.filling import cpu
from philinit.filling.memory import address
from philinit.keyed import RowsByKey

INIT, SHAPE = pi.Uniform(-0.05, 0.05, seed=42), (40, 3)
IDS = [[7, 0], [39, 7]]


def given(library: str, dtype: str) -> tuple[Any, int]:
    """IDS as a tensor of a library, and where they lie."""
    numbers = np.array(IDS, dtype)
    if library == "numpy":
        return numbers, address(numbers)
    if library == "torch":
        tensor = pytest.importorskip("torch").from_numpy(numbers)
        return tensor, tensor.data_ptr()
    tensor = pytest.importorskip("tensorflow").constant(numbers)
    return tensor, address(np.asarray(memoryview(tensor)))


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The addresses of the ids that kernels were told."""
    found: list[int] = []
    real = cpu.argument

    def spy(runs: Any, *rest: Any) -> Any:
        found.append(address(runs.ids))
        return real(runs, *rest)

    monkeypatch.setattr(cpu, "argument", spy)
    return found


by_library = pytest.mark.parametrize("library", ["numpy", "torch", "tensorflow"])


@by_library
@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_g4_ids_of_64_bits_are_read_where_they_are(library: str, dtype: str, read: Any) -> None:
    ids, there = given(library, dtype)
    assert INIT.rows(SHAPE, ids).tobytes() == INIT(SHAPE)[IDS].tobytes()
    assert INIT.rows_by_key(3, ids).tobytes() == INIT.rows_by_key(3, IDS).tobytes()
    assert read[:2] == [there, there]


@by_library
def test_narrow_ids_are_made_wider_and_those_that_lie_apart_are_gathered(library: str) -> None:
    ids, _ = given(library, "int32")
    assert INIT.rows(SHAPE, ids).tobytes() == INIT(SHAPE)[IDS].tobytes()
    assert INIT.rows_by_key(3, ids).tobytes() == INIT.rows_by_key(3, IDS).tobytes()
    apart, _ = given(library, "int64")
    assert INIT.rows(SHAPE, apart[:, 1]).tobytes() == INIT(SHAPE)[[0, 7]].tobytes()


def test_ids_at_any_address_and_of_any_byte_order() -> None:
    raw = np.zeros(33, np.uint8)
    odd = raw[1:].view(np.int64).reshape(2, 2)
    odd[...] = IDS
    for ids in (odd, np.array(IDS, ">i8"), np.array(IDS, np.int64).view(np.ndarray)[::-1][::-1]):
        assert INIT.rows(SHAPE, ids).tobytes() == INIT(SHAPE)[IDS].tobytes()
        assert INIT.rows_by_key(3, ids).tobytes() == INIT.rows_by_key(3, IDS).tobytes()


def test_a_part_that_is_kept_has_a_copy_unless_told_otherwise() -> None:
    for kind in (pi.Rows, RowsByKey):
        ids = np.array([1, 2])
        kept, borrowed = kind((5, 3), ids), kind((5, 3), ids, copy=False)
        assert address(borrowed.ids) == address(ids) != address(kept.ids)
        assert ids.flags.writeable and not kept.ids.flags.writeable
    with pytest.raises(TypeError, match="`copy` must be a bool; got copy=0"):
        pi.Rows((5, 3), [1], copy=0)  # type: ignore[arg-type]


def test_what_is_refused_of_tensors() -> None:
    torch = pytest.importorskip("torch")
    calls: list[tuple[Callable[[], Any], type[Exception], str]] = [
        (lambda: INIT.rows(SHAPE, torch.tensor([1.0])), TypeError, "got ids of dtype float32"),
        (lambda: INIT.rows(SHAPE, torch.tensor([40])), ValueError, "must lie in [0, 40)"),
        (
            lambda: INIT.rows(SHAPE, torch.zeros(2, dtype=torch.int64, device="meta")),
            ValueError,
            "`ids` must lie in memory of a device; Tensor refused to name its own:",
        ),
        (lambda: INIT.rows_by_key(3, torch.tensor([1.0])), TypeError, "got keys of dtype float32"),
    ]
    for call, error, sentence in calls:
        with pytest.raises(error, match=re.escape(sentence)):
            call()


def test_g4_torch_hands_its_ids_to_the_kernel(read: Any) -> None:
    torch = pytest.importorskip("torch")
    import philinit.torch as pt

    ids, there = given("torch", "int64")
    for made in (pt.rows(INIT, SHAPE, ids), pt.rows_by_key(INIT, 3, ids)):
        assert made.shape == (2, 2, 3)
    operator = torch.ops.philinit.rows_by_key
    assert operator(ids, [3], pt.traced.number_of(INIT, torch.float32, ())).shape == (2, 2, 3)
    assert read == [there] * 3


def test_g4_tensorflow_hands_its_ids_to_the_kernel(read: Any) -> None:
    tf = pytest.importorskip("tensorflow")
    import philinit.tensorflow as pit

    ids, there = given("tensorflow", "int64")
    pit.rows(INIT, SHAPE, ids)
    pit.rows_by_key(INIT, 3, ids)
    tf.function(lambda ids: pit.rows(INIT, SHAPE, ids))(ids)
    tf.function(lambda ids: pit.rows_by_key(INIT, 3, ids))(ids)
    assert read == [there] * 4
    variable = tf.Variable(ids)
    memory = address(np.asarray(memoryview(variable.read_value())))
    assert pit.rows(INIT, SHAPE, variable).numpy().tobytes() == INIT(SHAPE)[IDS].tobytes()
    assert read[-1] == memory
