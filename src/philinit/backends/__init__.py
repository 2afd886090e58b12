# SPDX-License-Identifier: Apache-2.0
"""Who computes: the registry of devices."""

from __future__ import annotations

import importlib.util
import re

from philinit.errors import missing_extra


def resolve_device(device: str) -> str:
    """The backend of a device string: "cpu".

    Raises
    ------
    TypeError, ValueError
        `device` is no string, or names no device.
    ImportError
        "cuda" or "cuda:N" without CuPy.
    NotImplementedError
        "cuda" with CuPy: the kernels are yet to come.
    """
    if device == "cpu":
        return "cpu"
    if not isinstance(device, str):
        raise TypeError(f'`device` must be a string such as "cpu"; got device={device!r}')
    if not re.fullmatch(r"cuda(:\d+)?", device):
        raise ValueError(f'`device` must be "cpu", "cuda" or "cuda:N"; got device={device!r}')
    if importlib.util.find_spec("cupy") is None:
        raise missing_extra("the cuda backend", "CuPy", "cuda12")
    raise NotImplementedError(f'`device` must be "cpu" in this version; got device={device!r}')
