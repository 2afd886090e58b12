# SPDX-License-Identifier: Apache-2.0
"""Two GPUs that TensorFlow says it has; what it places there lands in its CPU's memory."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import tensorflow as tf

from philinit.tensorflow import private


class Physical(NamedTuple):
    """As tf.config.PhysicalDevice."""

    name: str


def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let TensorFlow list GPU:0 and GPU:1, which are CUDA's 0 and 1."""
    context = private._context()()
    real = context.list_logical_devices

    def logical(device_type: str | None = None) -> Any:
        gpus = ["GPU:0", "GPU:1"]
        return gpus if device_type == "GPU" else real(device_type) + gpus * (device_type is None)

    physical = [Physical(f"/physical_device:GPU:{number}") for number in range(2)]
    monkeypatch.setattr(context, "list_logical_devices", logical)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: physical)
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind=None: physical)
    monkeypatch.setattr(tf.config, "get_logical_device_configuration", lambda gpu: None)
