# SPDX-License-Identifier: Apache-2.0
"""Memory that TensorFlow allocates: one buffer up to the first step and beyond, of any size."""

import gc
import os
import sys
import weakref

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest

import philinit as pi

tf = pytest.importorskip("tensorflow")
import philinit.tensorflow as pit  # noqa: E402  (TensorFlow may be missing)
from philinit.filling import pages  # noqa: E402
from philinit.tensorflow import memory as tensorflow_memory  # noqa: E402
from tests.support.pages import needs_huge_pages, wanted_of, watched  # noqa: E402
from tests.support.tensorflow_memory import (  # noqa: E402
    PEAK,
    Pattern,
    address,
    by_dtype,
    needs_proc,
    run,
    same,
)


@by_dtype
@pytest.mark.parametrize("shape", [(7,), (64, 3)])
def test_g4_variable_is_the_memory_that_was_filled_and_stays_it(dtype, shape):
    init = Pattern()
    v = pit.variable(init, shape, dtype)
    assert address(v) == init.address
    assert init.address % 64 == 0
    one = tf.ones(shape, dtype)
    v.assign_add(one)
    assert address(v) == init.address
    tf.raw_ops.ResourceApplyGradientDescent(var=v.handle, alpha=tf.constant(1, v.dtype), delta=one)
    assert address(v) == init.address
    tf.gather(v, [0])
    v.scatter_sub(tf.IndexedSlices(one[:1], [0]))
    tf.raw_ops.DisableCopyOnRead(resource=v.handle)
    assert address(v) == init.address
    expected = init.values(shape, dtype)
    expected[0] -= 1
    assert same(v, expected)


def test_a_sparse_step_updates_in_place():
    init = Pattern()
    v = pit.variable(init, (100, 8))
    v.scatter_add(tf.IndexedSlices(tf.ones((2, 8)), [3, 50]))
    tf.raw_ops.DisableCopyOnRead(resource=v.handle)
    assert address(v) == init.address


def test_tensorflow_copies_at_a_dense_step_a_variable_that_rows_were_gathered_from():
    """What docs/performance.md says of TensorFlow, and how to undo it."""
    v = pit.variable(Pattern(), (100, 8))
    step = lambda: tf.raw_ops.ResourceApplyGradientDescent(  # noqa: E731
        var=v.handle, alpha=tf.constant(1.0), delta=tf.ones((100, 8))
    )
    where = address(v)
    tf.gather(v, [3])
    tf.raw_ops.DisableCopyOnRead(resource=v.handle)
    step()
    assert address(v) == where
    tf.gather(v, [3])
    step()
    tf.raw_ops.DisableCopyOnRead(resource=v.handle)
    assert address(v) != where


@by_dtype
def test_real_initializers_leave_the_variable_to_be_updated_in_place(dtype):
    """G4: threads of the pool keep no view alive, or else the first step would copy."""
    shape = (2048, 1024)
    v = pit.variable(pi.GlorotUniform(seed=42), shape, dtype, threads=2)
    where = address(v)
    v.assign_add(tf.ones(shape, dtype))
    assert address(v) == where
    pit.fill(v, pi.HeNormal(seed=1), threads=2, progress=lambda done, total: None)
    assert address(v) == where
    v.assign_add(tf.ones(shape, dtype))
    assert address(v) == where


def test_an_exception_while_filling_frees_the_memory():
    seen = []

    class Stops(Pattern):
        def _write(self, target):
            seen.append(weakref.ref(target.view))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pit.variable(Stops(), (100,))
    gc.collect()
    assert seen[0]() is None


@pytest.mark.parametrize("size", [16, 17, 31, 37, 64, 1000, 1009])
@by_dtype
def test_long_dimensions_are_put_together_from_shorter_ones(monkeypatch, size, dtype):
    monkeypatch.setattr(tensorflow_memory, "_LARGEST_DIMENSION", 15)
    for shape in ((size,), (size, 1), (2, size), (0, size), (size, 1, 3)):
        init = Pattern()
        v = pit.variable(init, shape, dtype)
        assert same(v, init.values(shape, dtype))
        v.assign_add(tf.ones(shape, dtype))
        assert 0 in shape or address(v) == init.address
        assert same(v, init.values(shape, dtype) + v.dtype.as_numpy_dtype(1))


# Only the ends are touched, so that gibibytes cost nothing. (They are read through NumPy: slices
# of such tensors by TensorFlow itself can crash.)
ENDS = """
import tensorflow as tf, philinit.tensorflow as pit
from philinit.initializers.base import Initializer
class Ends(Initializer):
    __setattr__ = object.__setattr__
    def _write(self, target):
        flat = target.view.reshape(-1)
        flat[:100], flat[-100:] = 3, 5
        self.where = target.view.__array_interface__["data"][0]
def check(shape, dtype):
    init = Ends()
    v = pit.variable(init, shape, dtype)
    assert v.shape == shape
    for times in range(2):
        a = v.read_value().__array__()
        flat = a.reshape(-1)
        assert (flat[:100] == 3).all() and (flat[-100:] == 5).all()
        assert a.__array_interface__["data"][0] == init.where
        del a, flat
        pit.fill(v, init)
"""


@pytest.mark.skipif(sys.maxsize < 2**32, reason="needs a 64-bit address space")
@needs_proc
def test_more_than_two_gibibytes_and_a_dimension_beyond_int32():
    out = run(
        f"""{PEAK}{ENDS}
check((1000, 10), "float32")
for shape, dtype in (
    ((2**31 + 8,), "bfloat16"),
    ((2**31 + 8, 1), "float16"),
    ((2**30 + 1,), "float16"),
    ((2**20 + 1, 1024), "float32"),
):
    with peak() as grown:
        check(shape, dtype)
    print(grown.mib)
""",
        TF_ENABLE_ONEDNN_OPTS="0",  # gives memory back to the system at once
    )
    assert len(out.split()) == 4
    assert max(map(float, out.split())) < 64  # 2 to 4 GiB, had a copy been made


@needs_proc
@pytest.mark.parametrize(
    ("init", "dtype"), [("Blocks()", "float32"), ("GlorotUniform(seed=1)", "bfloat16")]
)
def test_g4_peak_memory_is_the_tensor(init, dtype):
    """G4: 256 MiB; at most 40 MiB more to build, to take the first step, and to fill again."""
    code = f"""{PEAK}
from philinit import GlorotUniform
init, dtype = {init}, {dtype!r}
work(init, (1000, 1000), dtype)
shape = (8192, 2 ** 28 // 8192 // tf.as_dtype(dtype).size)
with peak() as build:
    v = pit.variable(init, shape, dtype)
with peak() as twin:
    copy = v + 0
gradient = tf.zeros(shape, dtype)
# From here on everything stays alive: freed memory in TensorFlow's pool would hide a copy.
with peak() as step:
    tf.raw_ops.ResourceApplyGradientDescent(
        var=v.handle, alpha=tf.constant(0.5, dtype), delta=gradient)
with peak() as refill:
    pit.fill(v, init)
tf.gather(v, [0])
with peak() as again:
    pit.fill(v, init)
print(build.mib, step.mib, refill.mib, again.mib, twin.mib)
"""
    build, step, refill, again, twin = map(float, run(code).split())
    assert 250 <= build <= 256 + 40
    assert step <= 40
    assert refill <= 40
    assert again <= 40
    assert twin >= 250  # a copy would have shown


def test_more_memory_than_the_machine_has():
    out = run(
        """
import tensorflow as tf, philinit.tensorflow as pit
from philinit.initializers.base import Initializer
class Never(Initializer):
    def _write(self, target): print("written")
for shape in ((2**20, 2**24), (2**44,)):
    try:
        pit.variable(Never(), shape)
    except MemoryError as error:
        print(error)
""",
        TF_ENABLE_ONEDNN_OPTS="0",  # oneDNN's pool tries for ten seconds first
    )
    assert out == "".join(
        f"a tensor of shape {shape} and dtype float32 needs 70368744177664 bytes; "
        "TensorFlow cannot allocate that much\n"
        for shape in ("(1048576, 16777216)", "(17592186044416,)")
    )


# --- huge pages ----------------------------------------------------------------------------------


@needs_huge_pages
def test_new_memory_of_tensorflow_is_advised_before_it_is_written(monkeypatch):
    asked = watched(monkeypatch)

    class Seen(Pattern):
        def _write(self, target):
            self.asked = list(asked)
            super()._write(target)

    init = Seen()
    v = pit.variable(init, (4096, 1024))
    assert init.asked == wanted_of(address(v), 16 << 20)


@needs_huge_pages
def test_small_memory_and_the_memory_of_a_user_are_not_advised(monkeypatch):
    asked = []
    monkeypatch.setattr(pages, "_madvise", lambda: lambda *given: asked.append(given))
    v = pit.variable(pi.Uniform(seed=1), (1023, 1024))
    assert asked == []
    v = tf.Variable(tf.zeros((2048, 1024)))
    pit.fill(v, pi.Uniform(seed=1))
    assert asked == []
    pit.variable(pi.Uniform(seed=1), (2048, 1024))
    assert len(asked) == 1
