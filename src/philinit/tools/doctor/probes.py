# SPDX-License-Identifier: Apache-2.0
"""The live tests of `philinit doctor`; only a child process imports this.

Each returns what works, or raises AssertionError or another error that says what does not.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from philinit.cuda_views import import_cupy
from philinit.filling.memory import address
from philinit.initializers import GlorotUniform
from philinit.tools.doctor.findings import FAILED, NOTE, OK
from philinit.tools.measure.child import Emit

SHAPE = (1024, 256)
INIT = GlorotUniform(seed=42)


class Slower(UserWarning):
    """It works, but could be better: its text says how."""


def kernels() -> str:
    """Known answers of the Philox kernel, compiled or from the cache."""
    from philinit.tools.selftest import cases as _selftest

    case = _selftest.cases("cpu")[0]
    assert case.run("cpu"), f"{case.name} do not hold: run philinit selftest"
    return "run; " + case.name + " hold"


def numpy_out() -> str:
    """A new array and `out=`."""
    out = np.zeros(SHAPE, np.float32)
    assert INIT(SHAPE, out=out) is out, "out= was not returned"
    assert np.array_equal(out, INIT(SHAPE)), "out= has other weights than a new array"
    assert address(INIT(SHAPE)) % 64 == 0, "a new array is not aligned to 64 bytes"
    return "written in place; new arrays start at a multiple of 64 bytes"


def numpy_memmap() -> str:
    """A file, read back."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.npy"
        mapped = np.lib.format.open_memmap(path, "w+", np.float32, SHAPE)
        INIT.fill(mapped)
        mapped.flush()
        del mapped
        assert np.array_equal(np.load(path), INIT(SHAPE)), "the file has other weights"
    return "written in place, and read back"


def _where(tensor: Any) -> int:
    """The address of the values of a tf.Variable or tf.Tensor in CPU memory."""
    read = getattr(tensor, "read_value", lambda: tensor)()
    return int(read.__array__().__array_interface__["data"][0])


def tensorflow_variable() -> str:
    """A variable, filled, and updated by gradient descent."""
    import tensorflow as tf

    import philinit.tensorflow as pit

    variable = pit.variable(INIT, SHAPE)
    before = _where(variable)
    assert np.array_equal(variable.numpy(), INIT(SHAPE)), "the variable has other weights"
    step = tf.ones(SHAPE)
    tf.raw_ops.ResourceApplyGradientDescent(var=variable.handle, alpha=0.5, delta=step)
    assert np.array_equal(variable.numpy(), INIT(SHAPE) - np.float32(0.5)), "a wrong update"
    assert _where(variable) == before, "the first SGD step has copied the variable"
    return "filled in TensorFlow's memory; the first SGD step updates it there"


def tensorflow_from_dlpack() -> str:
    """An array of ours, imported."""
    import philinit.tensorflow as pit

    weights = INIT(SHAPE)
    tensor = pit.from_dlpack(weights)
    assert _where(tensor) == address(weights), "TensorFlow has copied the array"
    assert np.array_equal(tensor.numpy(), weights), "the tensor has other weights"
    return "shares the array's memory, until its first update"


def keras_layer() -> str:
    """A layer's kernel, trained for one step."""
    import keras

    import philinit.keras as pik

    layer = keras.layers.Dense(SHAPE[1], kernel_initializer=pik.GlorotUniform(seed=42))
    layer.build((None, SHAPE[0]))
    kernel = layer.kernel.value
    before = _where(kernel)
    peer = keras.initializers.GlorotUniform(seed=42)(SHAPE)
    assert np.array_equal(kernel.numpy(), peer.numpy()), "the kernel has not Keras's own weights"
    optimizer = keras.optimizers.SGD(0.5)
    optimizer.apply([keras.ops.ones(SHAPE)], [layer.kernel])
    assert _where(kernel) == before, "the first SGD step has copied the kernel"
    return "Keras's own bits, in TensorFlow's memory; the first SGD step updates them there"


def torch_tensor() -> str:
    """A CPU tensor, filled."""
    import torch

    tensor = torch.empty(SHAPE)
    before = tensor.data_ptr()
    INIT.fill(tensor)
    assert tensor.data_ptr() == before, "torch has moved the tensor"
    assert np.array_equal(tensor.numpy(), INIT(SHAPE)), "the tensor has other weights"
    return "filled in place"


def jax_array() -> str:
    """An array of ours, imported."""
    import jax

    weights = INIT(SHAPE)
    array = jax.dlpack.from_dlpack(weights)
    assert array.unsafe_buffer_pointer() == address(weights), "JAX has copied the array"
    assert np.array_equal(np.asarray(array), weights), "the array has other weights"
    return "shares the array's memory"


def jax_program() -> str:
    """Weights inside a compiled program."""
    import jax

    import philinit.jax as pij
    from philinit.jax.handlers import platforms, refusal

    found = jax.jit(lambda: pij.initializer(INIT)(None, SHAPE))()
    assert np.array_equal(np.asarray(found), INIT(SHAPE)), "the program has other weights"
    if refusal():
        raise Slower(refusal())
    return f"written into the program's own buffer ({', '.join(platforms())})"


def cupy_array() -> str:
    """An array on each CUDA device, against the CPU's bits."""
    from philinit.filling.cuda import memory as cuda_memory

    names = []
    cupy = import_cupy()
    for index in range(cuda_memory.device_count()):
        found = INIT(SHAPE, device=f"cuda:{index}")
        assert np.array_equal(cupy.asnumpy(found), INIT(SHAPE)), f"cuda:{index} has other bits"
        name = cupy.cuda.runtime.getDeviceProperties(index)["name"]
        names.append(f"cuda:{index} {name.decode() if isinstance(name, bytes) else name}")
    return f"CuPy {cupy.__version__}; {'; '.join(names)}: the CPU's bits"


def answer(request: dict[str, Any], emit: Emit) -> dict[str, Any]:
    """Run the test of this name."""
    try:
        return {"state": OK, "text": globals()[request["probe"]]()}
    except Slower as found:
        return {"state": NOTE, "text": str(found)}
    except Exception as error:
        said = str(error).strip().partition("\n")[0]
        text = said if isinstance(error, AssertionError) else f"{type(error).__name__}: {said}"
        return {"state": FAILED, "text": text}
