# SPDX-License-Identifier: Apache-2.0
"""CuPy, whose pool is empty again after each test."""

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture
def cupy() -> Iterator[Any]:
    import cupy

    yield cupy
    cupy.get_default_memory_pool().free_all_blocks()


@pytest.fixture(scope="session")
def tf() -> Any:
    tensorflow = pytest.importorskip("tensorflow")
    gpus = tensorflow.config.list_physical_devices("GPU")
    if not gpus:
        pytest.skip("this TensorFlow sees no GPU")
    for gpu in gpus:
        tensorflow.config.experimental.set_memory_growth(gpu, True)
    return tensorflow


@pytest.fixture(scope="session")
def torch() -> Any:
    found = pytest.importorskip("torch")
    if not found.cuda.is_available():
        pytest.skip("torch sees no GPU")
    return found
