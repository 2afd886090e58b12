# SPDX-License-Identifier: Apache-2.0
"""philinit.tensorflow: TensorFlow's own memory, filled in place, and never a copy in silence.

Most tests fill with `Pattern`, which knows what it wrote and where: they do not depend on the
sampler. What needs a process of its own (peak memory, logical devices, exit codes) runs in one.
"""

import gc
import os
import subprocess
import sys
import weakref
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import ml_dtypes
import numpy as np
import pytest

import philinit
from philinit.dtypes import as_dtype
from philinit.filling import memory

tf = pytest.importorskip("tensorflow")
import philinit.tensorflow as pit  # noqa: E402  (TensorFlow may be missing)
from philinit.tensorflow import memory as _tensorflow_memory  # noqa: E402

DTYPES = ["float32", "float64", "float16", "bfloat16"]
by_dtype = pytest.mark.parametrize("dtype", DTYPES)
by_shape = pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (5,), (2, 3, 4)])

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="needs /proc/self/clear_refs"
)


class Pattern:
    """Writes `start`, `start` + 1, ... modulo 64, and remembers what it was given."""

    def __init__(self, start=1):
        self.start = start
        self.address = None
        self.given = []

    def __call__(self, shape, dtype=None):
        return self.values(shape, dtype)

    def values(self, shape, dtype="float32"):
        dtype = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
        count = np.arange(int(np.prod(shape)))
        return ((count + self.start) % 64).astype(dtype).reshape(shape)

    def fill(self, out, *, threads=None, progress=None):
        self.address = memory.address(out)
        self.given.append((out.shape, out.dtype.name, threads))
        assert type(out) is np.ndarray
        assert out.flags.carray
        out[...] = self.values(out.shape, out.dtype)
        if progress is not None:
            progress(out.size, out.size)
        return out


def address(tensor):
    """Where TensorFlow has the values of a variable or tensor; an oracle that is not ours."""
    if isinstance(tensor, tf.Variable):
        tensor = tensor.read_value()
    return tensor.__array__().__array_interface__["data"][0]


def same(tensor, values):
    found = tensor.numpy()
    return found.dtype == values.dtype and found.shape == values.shape and (found == values).all()


def run(code, **environment):
    """Run Python code in a process of its own; its standard output."""
    done = subprocess.run(
        [sys.executable, "-c", "import os, numpy as np\n" + code],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


PEAK = """
import tensorflow as tf, philinit.tensorflow as pit
from pathlib import Path
MIB = 2.0 ** 20
status = Path("/proc/self/status")
def kib(name):
    return next(int(s.split()[1]) for s in status.read_text().splitlines() if s.startswith(name))
class peak:
    '''Most memory in MiB that the block had beyond what was there before.'''
    def __enter__(self):
        Path("/proc/self/clear_refs").write_text("5")
        self.before = kib("VmRSS")
        return self
    def __exit__(self, *error):
        self.mib = (kib("VmHWM") - self.before) / 1024
class Blocks:
    def __call__(self): pass
    def fill(self, out, **keywords):
        flat = out.reshape(-1)
        for start in range(0, flat.size, 65536):
            flat[start : start + 65536] = start % 64
def work(init, shape, dtype):
    v = pit.variable(init, shape, dtype)
    # A step leaves the values alone: 0 * gradient.
    tf.raw_ops.ResourceApplyGradientDescent(
        var=v.handle, alpha=tf.constant(0, dtype), delta=tf.zeros(shape, dtype))
    pit.fill(v, init)
    tf.gather(v, [0])
    pit.fill(v, init)
"""


# --- variable and to_tensor ----------------------------------------------------------------------


@by_dtype
@by_shape
def test_variable_holds_what_the_initializer_wrote(dtype, shape):
    init = Pattern()
    v = pit.variable(init, shape, dtype, name="weights", trainable=False, threads=3)
    assert isinstance(v, tf.Variable)
    assert (v.name, v.trainable, v.dtype.name) == ("weights:0", False, dtype)
    assert init.given == [(shape, dtype, 3)]
    assert same(v, init.values(shape, dtype))


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


@by_dtype
@by_shape
def test_to_tensor(dtype, shape):
    init = Pattern()
    t = pit.to_tensor(init, shape, dtype)
    assert isinstance(t, tf.Tensor)
    assert same(t, init.values(shape, dtype))
    if t.shape.num_elements() and shape:
        assert address(t) == init.address


@pytest.mark.parametrize(
    "shape",
    [[2, 3], tf.TensorShape([2, 3]), np.array([2, 3]), (np.int64(2), 3), tf.constant([2, 3])],
    ids=lambda s: type(s).__name__,
)
def test_forms_of_a_shape(shape):
    assert pit.variable(Pattern(), shape).shape == (2, 3)


def test_an_int_is_the_shape_of_a_vector():
    assert pit.to_tensor(Pattern(), 5).shape == (5,)


@pytest.mark.parametrize("dtype", [None, np.float32, np.dtype("f4"), "float32", tf.float32])
def test_forms_of_a_dtype(dtype):
    assert pit.variable(Pattern(), (2,), dtype).dtype is tf.float32


def test_keywords_reach_the_variable_and_the_initializer():
    calls = []
    v = pit.variable(
        Pattern(),
        (4,),
        constraint=tf.nn.relu,
        synchronization=tf.VariableSynchronization.NONE,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert calls == [(4, 4)]
    assert v.constraint is tf.nn.relu


def test_an_exception_while_filling_frees_the_memory():
    seen = []

    class Stops(Pattern):
        def fill(self, out, **keywords):
            seen.append(weakref.ref(out.base))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pit.variable(Stops(), (100,))
    gc.collect()
    assert seen[0]() is None


@pytest.mark.parametrize("size", [16, 17, 31, 37, 64, 1000, 1009])
@by_dtype
def test_long_dimensions_are_put_together_from_shorter_ones(monkeypatch, size, dtype):
    monkeypatch.setattr(_tensorflow_memory, "_LARGEST_DIMENSION", 15)
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
class Ends:
    def __call__(self): pass
    def fill(self, out, **keywords):
        flat = out.reshape(-1)
        flat[:100], flat[-100:] = 3, 5
        self.where = out.__array_interface__["data"][0]
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


# --- fill ----------------------------------------------------------------------------------------


@by_dtype
@by_shape
def test_fill_replaces_the_values(dtype, shape):
    v = pit.variable(Pattern(), shape, dtype)
    init = Pattern(20)
    assert pit.fill(v, init, threads=2) is v
    assert init.given == [(shape, dtype, 2)]
    assert same(v, init.values(shape, dtype))


@by_dtype
@pytest.mark.parametrize("mode", ["fresh", "trained", "copy on read"])
def test_fill_writes_in_place_where_the_memory_is_the_variables_own(dtype, mode):
    v = pit.variable(Pattern(), (16, 4), dtype)
    where = address(v)
    if mode == "trained":
        v.assign_add(tf.ones((16, 4), dtype))
    if mode == "copy on read":
        tf.gather(v, [0])
        assert address(v) != where
    init = Pattern(20)
    pit.fill(v, init)
    assert init.address == where
    assert address(v) == where
    assert same(v, init.values((16, 4), dtype))
    v.assign_add(tf.ones((16, 4), dtype))
    assert address(v) == where


@by_dtype
@pytest.mark.parametrize("sharing", ["variable", "tensor", "slice", "view", "import"])
@pytest.mark.parametrize("copy_on_read", [False, True])
def test_fill_leaves_those_alone_who_share_the_memory(dtype, sharing, copy_on_read):
    old = Pattern().values((16, 4), dtype)
    v = pit.variable(Pattern(), (16, 4), dtype)
    if sharing == "variable":
        other = tf.Variable(v)
        assert address(other) == address(v)
    elif sharing == "tensor":
        other = v.read_value()
        assert address(other) == address(v)
    elif sharing == "slice":
        other = tf.reshape(v.read_value(), [64])[:32]  # 64 bytes or more: TensorFlow shares it
        old = old.reshape(64)[:32]
        assert address(other) == address(v)
    elif sharing == "view":
        other = np.asarray(v.read_value())
    else:
        imported = memory.empty((16, 4), old.dtype)
        imported[...] = old
        v = tf.Variable(pit.from_dlpack(imported))
        other = imported
        assert address(v) == memory.address(imported)
    if copy_on_read:
        tf.gather(v, [0])
    init = Pattern(20)
    pit.fill(v, init)
    assert same(v, init.values((16, 4), dtype))
    assert (np.asarray(other).astype(old.dtype) == old).all()
    v.assign_add(tf.ones((16, 4), dtype))
    assert address(v) == init.address
    assert (np.asarray(other).astype(old.dtype) == old).all()


@pytest.mark.parametrize("shape", [tf.TensorShape(None), tf.TensorShape([None, 3])])
def test_fill_takes_the_shape_that_the_variable_has_now(shape):
    v = tf.Variable(tf.zeros((2, 3)), shape=shape)
    v.assign(tf.zeros((5, 3)))
    init = Pattern()
    pit.fill(v, init)
    assert init.given[0][0] == (5, 3)
    assert same(v, init.values((5, 3)))


def test_fill_takes_keras_variables():
    keras = pytest.importorskip("keras")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("Keras runs on another backend")
    v = keras.Variable(np.zeros((4, 3), np.float32))
    init = Pattern()
    assert pit.fill(v, init) is v
    assert (v.numpy() == init.values((4, 3))).all()


def test_fill_notices_that_the_variable_was_assigned_meanwhile():
    v = pit.variable(Pattern(), (4, 4))

    class Meddles(Pattern):
        def fill(self, out, **keywords):
            v.assign(tf.zeros((4, 4)))
            return super().fill(out, **keywords)

    with pytest.raises(RuntimeError, match="may use the variable while it is filled"):
        pit.fill(v, Meddles())
    assert same(v, np.zeros((4, 4), np.float32))


# --- from_dlpack ---------------------------------------------------------------------------------


@by_dtype
@by_shape
def test_import_shares_the_memory(dtype, shape):
    values = Pattern().values(shape, dtype)
    a = memory.empty(shape, values.dtype)
    a[...] = values
    t = pit.from_dlpack(a)
    assert same(t, values)
    if shape and a.size:
        assert address(t) == memory.address(a)
        a[...] = 0
        assert same(t, np.zeros_like(values))


@by_dtype
def test_an_import_lives_as_long_as_tensorflow_uses_it(dtype):
    raw = np.zeros(4096, np.uint8)
    where = -memory.address(raw) % 64
    a = raw[where : where + 1024].view(as_dtype(dtype))
    a[:] = 7
    alive = weakref.ref(raw)
    v = tf.Variable(pit.from_dlpack(a))
    del raw, a
    gc.collect()
    assert alive() is not None
    assert (v.numpy() == 7).all()
    del v
    gc.collect()
    assert alive() is None


def test_an_imported_variable_copies_at_its_first_update_as_documented():
    a = memory.empty((64,), np.dtype(np.float32))
    a[:] = 1
    v = tf.Variable(pit.from_dlpack(a))
    assert address(v) == memory.address(a)
    v.assign_add(tf.ones(64))
    assert address(v) != memory.address(a)
    assert (a == 1).all()
    assert (v.numpy() == 2).all()


@pytest.mark.parametrize("step", [1, 2, 4, 16, 32])
def test_a_misaligned_import_is_refused_before_tensorflow_dies_of_it(step):
    raw = memory.empty((256,), np.dtype(np.float64)).view(np.uint8)
    a = raw[step : step + 1024].view(np.float64)
    with pytest.raises(ValueError, match=rf"multiple of 64 bytes.*got address % 64 == {step}:"):
        pit.from_dlpack(a)


def test_imports_that_cannot_be():
    a = memory.empty((8, 8), np.dtype(np.float32))
    with pytest.raises(ValueError, match="`array` must be C-contiguous"):
        pit.from_dlpack(a.T)
    with pytest.raises(ValueError, match="`array` must hold float32"):
        pit.from_dlpack(a.view(np.int32))
    with pytest.raises(TypeError, match="`array` must be a NumPy array"):
        pit.from_dlpack([1.0])
    with pytest.raises(TypeError, match="EagerTensor"):
        pit.from_dlpack(tf.zeros(3))
    a.flags.writeable = False
    with pytest.raises(ValueError, match="`array` must be writable"):
        pit.from_dlpack(a)


def test_imports_may_outlive_the_interpreter():
    run("""
import tensorflow as tf, ml_dtypes, philinit.tensorflow as pit
from philinit.filling import memory
kept = []
for dtype in (np.dtype(np.float32), np.dtype(ml_dtypes.bfloat16)):
    a = memory.empty((1000, 1000), dtype)
    a[...] = 1
    kept += [pit.from_dlpack(a), tf.Variable(pit.from_dlpack(a)), tf.function(lambda: kept[0] + 1)]
kept[2]()
kept.append(kept)
tf.immortal = kept
""")


# --- peak memory ---------------------------------------------------------------------------------


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


# --- devices, strategies, graphs -----------------------------------------------------------------

no_cuda = pytest.mark.skipif(
    __import__("importlib.util").util.find_spec("cupy") is not None, reason="CuPy is installed"
)


@no_cuda
@pytest.mark.parametrize(
    "device", ["GPU:0", "/GPU:1", "/job:localhost/replica:0/task:0/device:GPU:0"]
)
def test_a_gpu_is_refused_and_nothing_lands_on_the_cpu_instead(device):
    text = r"got device='.*GPU.*': the cuda backend needs CuPy: .*philinit\[cuda1.*device='CPU:0'"
    init = Pattern()
    for make in (pit.variable, pit.to_tensor):
        with pytest.raises(ImportError, match=text):
            make(init, (3,), device=device)
        with tf.device(device), pytest.raises(ImportError, match=text):
            make(init, (3,))
    assert init.given == []


@pytest.mark.parametrize("scope", ["GPU:0", "CPU:0", "/job:ps/task:3"])
def test_an_explicit_cpu_wins_over_the_scope(scope):
    with tf.device(scope):
        v = pit.variable(Pattern(), (3, 2), device="CPU:0")
        pit.fill(v, Pattern(9))
    assert v.device.endswith("localhost/replica:0/task:0/device:CPU:0")
    assert same(v, Pattern(9).values((3, 2)))


@pytest.mark.parametrize(
    ("device", "error", "text"),
    [
        ("nonsense", ValueError, "must be a CPU such as 'CPU:0'; got device='nonsense'"),
        ("CPU:99", ValueError, "one of the 1 CPU devices; got device='CPU:99'"),
        ("TPU:0", NotImplementedError, "a CPU's for now; got device='TPU:0'"),
        ("/job:ps/task:0/device:CPU:0", ValueError, "to one that TensorFlow is connected to; got"),
        ("/job:ps/task:0/device:GPU:0", NotImplementedError, "in another process .* a CPU's; got"),
        (0, TypeError, "`device` must be a str such as 'CPU:0'; got device=0"),
    ],
)
def test_other_devices_are_refused(device, error, text):
    with pytest.raises(error, match=text):
        pit.variable(Pattern(), (3,), device=device)


@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        "/CPU:0",
        tf.DeviceSpec(device_type="CPU"),
        tf.config.LogicalDevice("/device:CPU:0", "CPU"),
    ],
    ids=str,
)
def test_forms_of_a_device(device):
    assert pit.to_tensor(Pattern(), (3,), device=device).device.endswith("CPU:0")


def test_graphs_are_refused():
    v = pit.variable(Pattern(), (3,))
    a = memory.empty((3,), np.dtype(np.float32))
    for name, call in {
        "variable": lambda: pit.variable(Pattern(), (3,)),
        "fill": lambda: pit.fill(v, Pattern()),
        "from_dlpack": lambda: pit.from_dlpack(a),
    }.items():
        text = f"philinit.tensorflow.{name} must be called eagerly"
        with tf.Graph().as_default(), pytest.raises(NotImplementedError, match=text):
            call()
        with pytest.raises(NotImplementedError, match=text):
            tf.function(call, autograph=False)()


def test_to_tensor_inside_a_function_is_filled_when_it_runs():
    init = philinit.GlorotUniform(seed=42)
    rows = (slice(2, 5), slice(1, 3))

    @tf.function(autograph=False)
    def both():
        return pit.to_tensor(init, (7, 4)), pit.to_tensor(init, (7, 4), shard=rows)

    whole, part = both()
    assert np.array_equal(whole, init((7, 4)))
    assert np.array_equal(part, init((7, 4))[rows])
    assert both.get_concrete_function().structured_outputs[1].shape == (3, 2)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tensor = pit.to_tensor(init, tf.TensorShape([7, 4]), tf.float64)
        assert tensor.shape == (7, 4)
        assert np.array_equal(session.run(tensor), init((7, 4), np.float64))


def test_to_tensor_gives_a_shard_of_the_global_tensor():
    init = philinit.GlorotUniform(seed=42)
    part = pit.to_tensor(init, (100, 8), shard=philinit.Shard((100, 8), slice(10, 13)))
    assert np.array_equal(part, init((100, 8))[10:13])


def test_init_scope_leads_out_of_a_function():
    made = []

    @tf.function(autograph=False)
    def step():
        if not made:  # a function is traced more than once
            with tf.init_scope():
                made.append(pit.variable(Pattern(), (3,)))
        return made[0] + 1

    assert step().numpy().tolist() == [2, 3, 4]


def test_strategies_over_cpus():
    run("""
import tensorflow as tf, philinit.tensorflow as pit
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
class Value:
    def __init__(self, value): self.value = value
    def __call__(self): pass
    def fill(self, out, **keywords):
        self.where = out.__array_interface__["data"][0]
        out[...] = self.value
def where(v):
    return v.read_value().__array__().__array_interface__["data"][0]
one = tf.ones((4, 3))
for strategy in (tf.distribute.OneDeviceStrategy("CPU:1"),
                 tf.distribute.MirroredStrategy(["CPU:0"]),
                 tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])):
    init = Value(2.0)
    with strategy.scope():
        v = pit.variable(init, (4, 3))
    parts = strategy.experimental_local_results(v)
    assert len(parts) == strategy.num_replicas_in_sync
    assert all((p.numpy() == 2).all() for p in parts)
    with strategy.scope():
        v.assign_add(one)
    assert all((p.numpy() == 3).all() for p in parts)
    assert len({where(p) for p in parts}) == len(parts)
    assert where(parts[-1]) == init.where
    for scope in (strategy.scope, lambda: tf.device(None)):
        init.value += 5
        with scope():
            pit.fill(v, init)
        assert all((p.numpy() == init.value).all() for p in parts), strategy
    def refused(call, text):
        try:
            call()
        except NotImplementedError as error:
            assert text in str(error), error
        else:
            raise AssertionError(text)
    refused(lambda: strategy.run(lambda: pit.variable(init, (2,))), "inside run(): make it outside")
    refused(lambda: strategy.run(lambda: pit.fill(v, init)), "outside of a strategy's run()")
    with strategy.scope():
        s = tf.Variable(1.0, synchronization=tf.VariableSynchronization.ON_READ,
                        aggregation=tf.VariableAggregation.SUM)
    if len(parts) > 1:
        refused(lambda: pit.fill(s, init), "same value on each replica")
with tf.distribute.MultiWorkerMirroredStrategy().scope():
    refused(lambda: pit.variable(init, (2,)), "got CollectiveAllReduceStrategy: make it outside")
assert pit.variable(init, (3,), device="CPU:1").device.endswith("CPU:1")
with tf.device("CPU:1"):
    assert pit.to_tensor(init, (3,)).device.endswith("CPU:1")
""")


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "init", [None, 3, "glorot_uniform", np.zeros(3), Pattern, lambda shape: 0], ids=str
)
def test_what_is_no_initializer(init):
    v = tf.Variable(tf.zeros(3))
    for call in (pit.variable, pit.to_tensor):
        with pytest.raises(TypeError, match="`init` must be a philinit initializer such as"):
            call(init, (3,))
    with pytest.raises(TypeError, match="`init` must be a philinit initializer such as"):
        pit.fill(v, init)


@pytest.mark.parametrize(
    ("shape", "error", "text"),
    [
        ((2, -1), ValueError, "negative"),
        ((2.0,), TypeError, "ints"),
        ((True,), TypeError, "ints"),
        (None, TypeError, "ints"),
        ("ab", TypeError, "ints"),
        (tf.TensorShape([None, 3]), ValueError, r"fully defined; got shape=\(None, 3\)"),
        (tf.TensorShape(None), ValueError, "fully defined; got shape=<unknown>"),
        ((1,) * 300, ValueError, "one that TensorFlow can hold"),
        ((2**40, 2**40, 0), ValueError, "one that TensorFlow can hold"),
        (
            (2**47,),
            MemoryError,
            r"shape \(140737488355328,\) and dtype float32 needs 562949953421312",
        ),
        ((2**20, 2**28), MemoryError, "needs 1125899906842624 bytes; that much memory is not"),
        ((2**70,), MemoryError, "not to be had"),
    ],
    ids=lambda s: str(s)[:20],
)
def test_shapes_that_cannot_be(shape, error, text):
    init = Pattern()
    for call in (pit.variable, pit.to_tensor):
        with pytest.raises(error, match=text):
            call(init, shape)
    assert init.given == []


def test_more_memory_than_the_machine_has():
    out = run(
        """
import tensorflow as tf, philinit.tensorflow as pit
class Never:
    def __call__(self): pass
    def fill(self, out, **keywords): print("written")
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


@pytest.mark.parametrize("dtype", ["int32", tf.int64, tf.string, np.complex64, "float8_e5m2", "no"])
def test_dtypes_that_cannot_be(dtype):
    with pytest.raises(ValueError, match="`dtype` must be one of float32"):
        pit.variable(Pattern(), (3,), dtype)


@pytest.mark.parametrize(
    ("target", "error", "text"),
    [
        (lambda: tf.zeros(3), TypeError, "got EagerTensor: tensors are immutable, .*to_tensor"),
        (
            lambda: np.zeros(3),
            TypeError,
            "got ndarray: fill arrays with the initializer's own fill",
        ),
        (lambda: None, TypeError, "must be a tf.Variable; got NoneType"),
        (lambda: tf.Variable([1, 2]), ValueError, "one of float32.*got dtype=int32"),
        (lambda: tf.Variable("text"), ValueError, "one of float32"),
    ],
)
def test_what_is_no_variable_of_weights(target, error, text):
    init = Pattern()
    with pytest.raises(error, match=text):
        pit.fill(target(), init)
    assert init.given == []


def test_without_tensorflow_the_import_says_what_to_install():
    out = run("""
import sys
sys.modules["tensorflow"] = None
try:
    import philinit.tensorflow
except ImportError as error:
    print(error)
""")
    assert out == 'philinit.tensorflow needs TensorFlow: pip install "philinit[tensorflow]"\n'


# --- the real thing ------------------------------------------------------------------------------


@by_dtype
@pytest.mark.parametrize("shape", [(), (5,), (0, 3), (33, 65), (3, 3, 8, 16)])
@pytest.mark.parametrize("name", ["GlorotUniform", "HeNormal", "TruncatedNormal", "Zeros"])
def test_real_initializers_give_the_bits_of_the_ndarray(name, shape, dtype):
    kind = getattr(philinit, name)
    init = kind() if name == "Zeros" else kind(seed=42)
    expected = init(shape, dtype=dtype).tobytes()
    v = pit.variable(init, shape, dtype)
    assert v.numpy().tobytes() == expected
    assert pit.to_tensor(init, shape, dtype).numpy().tobytes() == expected
    v.assign(tf.ones(shape, dtype))
    assert pit.fill(v, init).numpy().tobytes() == expected
    assert pit.from_dlpack(init(shape, dtype=dtype)).numpy().tobytes() == expected


@by_dtype
def test_real_initializers_leave_the_variable_to_be_updated_in_place(dtype):
    """G4: threads of the pool keep no view alive, or else the first step would copy."""
    shape = (2048, 1024)
    v = pit.variable(philinit.GlorotUniform(seed=42), shape, dtype, threads=2)
    where = address(v)
    v.assign_add(tf.ones(shape, dtype))
    assert address(v) == where
    pit.fill(v, philinit.HeNormal(seed=1), threads=2, progress=lambda done, total: None)
    assert address(v) == where
    v.assign_add(tf.ones(shape, dtype))
    assert address(v) == where
