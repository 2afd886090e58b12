# SPDX-License-Identifier: Apache-2.0
"""What the tests of philinit.torch share: tensors, and whether they hold the bytes expected."""

import torch

DTYPES = ("float32", "float64", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2fnuz")


def zeros(shape, dtype="float32"):
    return torch.zeros(shape, dtype=getattr(torch, dtype))


def bytes_of(tensor):
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def same(tensor, values):
    """Whether a tensor has the shape and the bytes of an ndarray or of another tensor."""
    expected = bytes_of(values) if isinstance(values, torch.Tensor) else values.tobytes()
    return tuple(tensor.shape) == tuple(values.shape) and bytes_of(tensor) == expected
