# SPDX-License-Identifier: Apache-2.0
"""TensorFlow's tensors and variables, filled in the memory that TensorFlow will train in.

TensorFlow allocates the memory (``tf.raw_ops.Empty``), philinit writes into it, and ``tf.Variable``
takes over the tensor without a copy. TensorFlow never updates memory in place that it did not
allocate: the first optimizer step would copy it. So use `variable` and `to_tensor` for weights that
you train, and `from_dlpack` for tensors that you mostly read. `rows` makes rows of a table by
number, also inside ``tf.data``.

Sharded tensors have the same bits as whole ones: `dtensor_variable` fills the devices of a mesh,
and `variable` and `initializer` fill parameter servers, each of which must have called `serve`.
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
