# SPDX-License-Identifier: Apache-2.0
""".npy files of one tensor: the bytes of `numpy.save`, and where the elements of a file lie.

The format has no name for bfloat16. `numpy.save` writes such arrays as "<V2", two bytes without a
meaning, and so do we: ``np.load(path).view(ml_dtypes.bfloat16)`` reads them. Of float8 there are
four, which one byte without a meaning could not tell apart: they are refused.
"""

import io
import math
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.lib import format as numpy_format

from philinit.checks import as_shape, shown
from philinit.dtypes import FLOAT8, WIDER
from philinit.files.tensors import Stored, Tensor

_BFLOAT16 = "<V2"


def arrange(tensors: Sequence[Tensor]) -> tuple[bytes, list[Tensor]]:
    """The header of a file, and its tensors in order: the one tensor there is."""
    (tensor,) = tensors
    if tensor.dtype.name in FLOAT8:
        raise ValueError(
            "a .npy file must be of a dtype that its format can name; "
            f"got dtype={tensor.dtype.name}: write a .safetensors file"
        )
    bfloat16 = tensor.dtype.name == "bfloat16"
    descr = _BFLOAT16 if bfloat16 else numpy_format.dtype_to_descr(tensor.dtype)
    text = io.BytesIO()
    fields = {"descr": descr, "fortran_order": False, "shape": tensor.shape}
    numpy_format.write_array_header_1_0(text, fields)
    return text.getvalue(), [tensor]


def stored(path: Path) -> list[Stored]:
    """The one tensor of a file.

    Raises
    ------
    ValueError
        It is no .npy file, or one with its elements in another order than C's or this machine's.
    """
    with path.open("rb") as file:
        try:
            version = numpy_format.read_magic(file)
            number = "1_0" if version == (1, 0) else "2_0"
            read = getattr(numpy_format, f"read_array_header_{number}")
            with warnings.catch_warnings(action="ignore"):  # of Python's parser, about the header
                shape, fortran_order, dtype = read(file)
            shape = as_shape(shape)
        except OSError:
            raise
        except Exception as error:  # of Python's tokenizer, parser and recursion, and of NumPy's
            raise ValueError(f"{path.name} is no .npy file of weights ({shown(error)})") from error
        start = file.tell()
    if fortran_order:
        raise ValueError(
            f"the elements must lie in C order; those of {path.name} lie in Fortran order: save "
            "np.ascontiguousarray of the array"
        )
    bfloat16 = dtype == np.dtype(_BFLOAT16)
    if not bfloat16 and (dtype.name not in WIDER or not dtype.isnative):
        raise ValueError(
            f"the elements must be one of {', '.join(WIDER)} in native byte order; "
            f"{path.name} holds {shown(dtype.str)[1:-1]}"
        )
    name, nbytes = "bfloat16" if bfloat16 else dtype.name, math.prod(shape) * dtype.itemsize
    return [Stored("", shape, name, start, nbytes)]
