# SPDX-License-Identifier: Apache-2.0
"""TensorFlow's tensors and variables, filled in the memory that TensorFlow will train in.

TensorFlow allocates (``tf.raw_ops.Empty``), philinit writes through a view of that memory, and
``tf.Variable`` takes the tensor over as it is. Memory that TensorFlow has not allocated itself
it never updates in place: the first optimizer step copies it. Hence `variable` and `to_tensor`
are the normal way, and `from_dlpack` is for tensors that are mostly read. `rows` makes rows of a
table by number, inside ``tf.data`` too.

Tensors in parts have the bits of the whole: `dtensor_variable` on the devices of a mesh, `variable`
and `initializer` on parameter servers, which fill their own memory once they have called `serve`.
"""

from __future__ import annotations

from philinit.checks import missing_extra

try:
    import tensorflow  # noqa: F401  (first: where TensorFlow is missing it names the extra)
except ModuleNotFoundError as error:
    if error.name != "tensorflow":
        raise  # TensorFlow is here, but lacks something: its own message is the right one
    raise missing_extra("philinit.tensorflow", "TensorFlow", "tensorflow") from error

from philinit.tensorflow.dtensor import dtensor_variable
from philinit.tensorflow.initializers import initializer
from philinit.tensorflow.models import dry_run, initialize
from philinit.tensorflow.servers import serve
from philinit.tensorflow.tensors import rows, rows_by_key, to_tensor
from philinit.tensorflow.variables import fill, from_dlpack, variable

__all__ = [
    "variable", "to_tensor", "rows", "rows_by_key", "initializer", "fill", "dtensor_variable",
    "from_dlpack", "serve", "initialize", "dry_run",
]  # fmt: skip
