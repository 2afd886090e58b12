# SPDX-License-Identifier: Apache-2.0
"""The examples of the README run, and its files and commands exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import philinit as pi

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_examples_run_as_they_stand() -> None:
    pytest.importorskip("tensorflow")
    pytest.importorskip("keras")
    names: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        exec(compile(code, "README.md", "exec"), names)
    assert names["w"].shape == (1024, 512)
    assert names["k"].dtype.name == "bfloat16"
    assert names["rows"].shape == (4, 128)
    table = names["table"].numpy()
    want = pi.he_normal((1_000_000, 64), seed=1)
    assert np.array_equal(table, want)
    assert names["model"].layers[0].kernel.shape == (784, 256)
    assert names["layer"].kernel_initializer.sampler == "tensorflow"


def test_its_commands_are_targets_of_the_makefile() -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for target in re.findall(r"^    make (\w+)", README, re.MULTILINE):
        assert target in targets


def test_the_files_it_names_exist() -> None:
    for name in re.findall(r"`([\w./]+\.md)`|\(([\w./]+\.md)\)", README):
        name = name[0] or name[1]
        assert (ROOT / name).is_file(), name
