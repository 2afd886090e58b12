# SPDX-License-Identifier: Apache-2.0
"""Weights in the memory of whatever backend Keras runs on, without a copy on the way."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from philinit.filling import dlpack
from philinit.keras.draws import Job, joined
from philinit.parts import Shard


def backend() -> str:
    """Name of the backend that Keras runs on."""
    return str(keras.backend.backend())


def deliver(job: Job, layout: Any = None) -> Any:
    """The weights of `job` as a tensor of Keras's backend, spread as `layout` says."""
    name = backend()
    if name == "tensorflow":
        _refuse(layout, name)
        return _tensorflow(job)
    if name == "jax":
        return _jax(job, layout)
    _refuse(layout, name)
    array = _array(job, _drawn_seed(job))
    if name == "numpy":
        return array
    if name == "torch":
        torch: Any = importlib.import_module("torch")
        return keras.ops.convert_to_tensor(torch.from_dlpack(_Exported(array)))
    return keras.ops.convert_to_tensor(array)


def laid_out(draw: Callable[[], Any], layout: Any) -> Any:
    """The whole tensor that `draw` gives, spread as `layout` says."""
    if layout is None:
        return draw()
    name = backend()
    if name != "jax":
        _refuse(layout, name)
    with _own_axes(layout):
        value = draw()
    return _jax_module().device_put(value, _sharding(layout))


def box_of(initializer: Any, shape: Any, part: Any, offset: Any) -> Shard | None:
    """The box of a variable of this shape that TensorFlow's partition arguments describe.

    Raises
    ------
    NotImplementedError
        For what TensorFlow must not take for an initializer without parts: that it would ask for
        the whole once for each part.
    """
    if part is None and offset is None:
        return None
    if backend() != "tensorflow":
        raise NotImplementedError(
            f"`partition_shape` must be None on Keras's {backend()} backend, which has no parts; "
            f"got partition_shape={part!r} and partition_offset={offset!r}"
        )
    if isinstance(getattr(initializer, "seed", None), keras.random.SeedGenerator):
        raise NotImplementedError(
            "`seed` must be an int for a variable in parts, since a SeedGenerator has another seed "
            f"for each of them; got seed={initializer.seed!r}"
        )
    from philinit.tensorflow.parts import requested_part

    return requested_part(shape, None, part, offset)[1]


def check_place() -> None:
    """Refuse a call where TensorFlow wants the weights on a server that does not serve."""
    if backend() == "tensorflow" and (device := _server()) is not None:
        from philinit.tensorflow.servers import check_served

        check_served(device)


def _server() -> str | None:
    """The device of another process that TensorFlow makes a variable on."""
    import tensorflow as tf

    from philinit.tensorflow.devices import device_name, scope_elsewhere

    name = scope_elsewhere() if tf.executing_eagerly() else None
    return None if name is None else device_name(name)


def traced(*, for_xla: bool = False) -> bool:
    """Whether TensorFlow traces the call into a graph, other than as a variable's initial value.

    TensorFlow lifts initial values out of a tf.function and runs them before it. All else stays
    in the graph, where Python is a burden: XLA runs none, and a file can hold none.

    Parameters
    ----------
    for_xla : bool
        Only if XLA is to compile the graph.
    """
    if backend() != "tensorflow":
        return False
    import tensorflow as tf

    if tf.executing_eagerly():
        return False
    graph = tf.compat.v1.get_default_graph()
    if graph.get_name_scope().rpartition("/")[2].startswith("Initializer"):
        return False
    if not for_xla:
        return True
    # No public function tells.
    from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext

    return bool(GraphOrParentsInXlaContext(graph))


def _refuse(layout: Any, name: str) -> None:
    if layout is not None:
        raise NotImplementedError(
            f"`layout` must be None on Keras's {name} backend, which has no layouts; "
            f"got layout={layout!r}"
        )


def _array(job: Job, seed: int, **where: Any) -> np.ndarray[Any, Any]:
    array: np.ndarray[Any, Any] = job.make(seed)(job.shape, job.dtype, **where)
    return array


def _seed_words(job: Job) -> Any:
    """The two seed words as Keras draws them: an int alone is a pair with 0."""
    return job.seed.next() if isinstance(job.seed, keras.random.SeedGenerator) else (job.seed, 0)


def _as_seed(words: Any) -> int:
    if isinstance(words, tuple):
        return joined(*words) if words[0] is not None else 0
    return joined(*(int(word) for word in keras.ops.convert_to_numpy(words)))


def _drawn_seed(job: Job) -> int:
    return _as_seed(_seed_words(job))


# --- TensorFlow ----------------------------------------------------------------------------------


def _tensorflow(job: Job) -> Any:
    import tensorflow as tf

    from philinit.tensorflow import to_tensor

    device = _server() or "CPU:0"

    def filled(words: Any) -> Any:
        init = job.make(_as_seed(words))
        return to_tensor(init, job.shape, job.dtype, device=device, shard=job.box)

    words = _seed_words(job)
    if isinstance(words, tuple) or tf.executing_eagerly():
        return filled(words)
    # A SeedGenerator inside a graph: the seed has its value when the graph runs.
    tensor = tf.py_function(filled, [words], tf.as_dtype(job.dtype))
    tensor.set_shape(job.shape)
    return tensor


# --- JAX -----------------------------------------------------------------------------------------


def _jax_module() -> Any:
    return importlib.import_module("jax")  # imported already, by Keras


def _jax(job: Job, layout: Any) -> Any:
    jax = _jax_module()
    with _own_axes(layout):
        words = _seed_words(job)
    if isinstance(words, jax.core.Tracer):  # a SeedGenerator inside jax.jit
        result = jax.ShapeDtypeStruct(job.shape, job.dtype)
        value = jax.pure_callback(lambda found: _array(job, _as_seed(found)), result, words)
        return value if layout is None else jax.lax.with_sharding_constraint(value, layout)
    from philinit.jax import initializer  # here: only Keras's JAX backend has JAX

    sharding = None if layout is None else _sharding(layout)
    return initializer(job.make(_as_seed(words)), sharding)(None, job.shape, job.dtype)


def _sharding(layout: Any) -> Any:
    """A layout of Keras or JAX as a sharding over devices that exist."""
    jax = _jax_module()
    sharding = getattr(layout, "backend_layout", layout)  # of a keras.distribution.TensorLayout
    if not _is_abstract(sharding):
        return sharding
    mesh = sharding.mesh
    devices = jax.sharding.get_mesh()
    concrete = jax.sharding.Mesh(devices.devices, mesh.axis_names, axis_types=mesh.axis_types)
    return jax.sharding.NamedSharding(concrete, sharding.spec)


def _is_abstract(layout: Any) -> bool:
    """Whether Keras passes the abstract mesh, with explicit axes, of the one that it has set."""
    mesh = getattr(layout, "mesh", None)
    return mesh is not None and type(mesh).__name__ == "AbstractMesh"  # which old JAX lacks


def _own_axes(layout: Any) -> Any:
    """A context with the axes of the mesh that was set, which values made before have."""
    if not _is_abstract(layout):
        return contextlib.nullcontext()
    jax = _jax_module()
    return jax.sharding.use_abstract_mesh(jax.sharding.get_mesh().abstract_mesh)


class _Exported:
    """An array that gives out its memory, bfloat16 too, which NumPy cannot."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self._array = array

    def __dlpack__(self, **_: Any) -> Any:
        return dlpack.to_capsule(self._array)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0  # kDLCPU
