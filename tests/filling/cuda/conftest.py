# SPDX-License-Identifier: Apache-2.0
"""The stand-in for CuPy, with a cache of machine code for each file of tests."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import cupy_stand_in as stand_in


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cubins")


@pytest.fixture
def cupy(cache: Path) -> Iterator[Any]:
    with stand_in.installed(cache) as module:
        yield module
