# SPDX-License-Identifier: Apache-2.0
""".safetensors files: 8 bytes with the length of a JSON header, the header, then all elements.

What is written are the bytes of `safetensors.numpy.save_file`: larger dtypes first, then names in
order, so that every tensor is aligned to its elements; the header padded with spaces to 8 bytes.
Format: https://github.com/huggingface/safetensors#format
"""

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from philinit.checks import shown
from philinit.dtypes import as_dtype
from philinit.files.tensors import Stored, Tensor

# In the order of the file. What has another name here is no dtype of philinit.
DTYPES = {"float64": "F64", "float32": "F32", "bfloat16": "BF16", "float16": "F16"}
DTYPES |= {"float8_e5m2fnuz": "F8_E5M2FNUZ", "float8_e4m3fnuz": "F8_E4M3FNUZ"}
DTYPES |= {"float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2"}
_NAMES = {theirs: ours for ours, theirs in DTYPES.items()}

LARGEST_HEADER = 100_000_000  # bytes; the safetensors package reads no longer one
_METADATA = "__metadata__"


def arrange(tensors: Sequence[Tensor]) -> tuple[bytes, list[Tensor]]:
    """The header of a file, and its tensors in the order in which they are stored."""
    rank = list(DTYPES)
    ordered = sorted(tensors, key=lambda tensor: (rank.index(tensor.dtype.name), tensor.name))
    entries: dict[str, Any] = {}
    end = 0
    for tensor in ordered:
        if tensor.name in entries or tensor.name == _METADATA:
            raise ValueError(f"each tensor must have a name of its own; got {tensor.name!r}")
        begin, end = end, end + tensor.nbytes
        entries[tensor.name] = {
            "dtype": DTYPES[tensor.dtype.name],
            "shape": tensor.shape,
            "data_offsets": (begin, end),
        }
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > LARGEST_HEADER:
        raise ValueError(
            f"the header must not exceed {LARGEST_HEADER} bytes; {len(ordered)} tensors need "
            f"{len(text)}: write several files"
        )
    return len(text).to_bytes(8, "little") + text, ordered


def stored(path: Path) -> list[Stored]:
    """The tensors of a file, in the order of its header.

    Raises
    ------
    ValueError
        It is no .safetensors file, or its header contradicts itself.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(size - 8, LARGEST_HEADER):
            raise _broken(path, f"a header of {length} bytes")
        text = file.read(length)
    try:
        entries = json.loads(text)
        entries.pop(_METADATA, None)
        return [_stored(name, entry, 8 + length) for name, entry in entries.items()]
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise _broken(path, f"a header that is wrong ({shown(error)})") from error


def _stored(name: str, entry: Any, data: int) -> Stored:
    dtype, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    ours = _NAMES.get(dtype, dtype)
    sound = re.fullmatch(r"\w{1,16}", dtype, re.ASCII) and len(shape) <= 64
    sound = sound and all(type(n) is int and 0 <= n < 1 << 63 for n in (*shape, begin, end))
    if sound and ours in DTYPES:
        sound = end - begin == as_dtype(ours).itemsize * math.prod(shape)
    if not sound:
        raise ValueError(f"{shown(name)}: {shown(entry)}")
    return Stored(name, shape, ours, data + begin, end - begin)


def _broken(path: Path, what: str) -> ValueError:
    return ValueError(f"{path.name} is no .safetensors file: it begins with {what}")
