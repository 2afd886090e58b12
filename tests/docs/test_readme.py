# SPDX-License-Identifier: Apache-2.0
"""The examples of the README run, and its files and commands exist."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import philinit as pi
from tests.support.paths import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_examples_run_as_they_stand() -> None:
    pytest.importorskip("tensorflow")
    pytest.importorskip("keras")
    names: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        exec(compile(code, "README.md", "exec"), names)
    assert names["w"].shape == (1024, 512)
    assert names["k"].dtype.name == "bfloat16"
    assert names["rows"].shape == (4, 64)
    assert names["some"].shape == names["more"].shape == (2, 128)
    table = names["table"].numpy()
    want = pi.he_normal((1_000_000, 64), seed=42)
    assert np.array_equal(table, want)
    assert names["model"].layers[0].kernel.shape == (784, 256)
    assert names["layer"].kernel_initializer.sampler == "tensorflow"


def test_it_fits_on_a_page() -> None:
    assert len(README.splitlines()) < 200


def test_each_promise_links_a_file_whose_tests_bear_its_number() -> None:
    rows = re.findall(r"^\| \*\*G(\d)\*\* \|.*\((\S+)\) \|$", README, re.MULTILINE)
    assert [number for number, _ in rows] == list("123456789")
    for number, name in rows:
        assert f"def test_g{number}_" in (ROOT / name).read_text(encoding="utf-8"), name


def different(drawn: Any) -> int:
    return len(np.unique(np.asarray(drawn).view(np.uint16)))


def test_16_bit_uniforms_have_as_many_values_as_the_comparison_says() -> None:
    tf, keras = pytest.importorskip("tensorflow"), pytest.importorskip("keras")
    jax, torch = pytest.importorskip("jax"), pytest.importorskip("torch")
    count = 1 << 20
    (row,) = re.findall(r"^\| distinct bfloat16 uniforms in 2\^20 draws .*$", README, re.MULTILINE)
    ours, kerass, torchs, jaxs = row.strip("| ").split(" | ")[1:]
    assert ours == torchs == "1,700"
    drawn = torch.empty(count, dtype=torch.bfloat16).uniform_(generator=torch.Generator())
    for values in (pi.uniform((count,), "bfloat16", low=0.0, high=1.0, seed=1), drawn):
        if values is drawn:
            values = values.view(torch.int16)
        assert 1650 < different(values) < 1750
    assert kerass == "128 on TensorFlow and JAX" and jaxs == "128"
    theirs = keras.initializers.RandomUniform(0.0, 1.0, seed=1)
    if keras.backend.backend() in ("tensorflow", "jax"):
        assert different(tf.convert_to_tensor(theirs((count,), "bfloat16")).numpy()) == 128
    assert different(jax.random.uniform(jax.random.key(1), (count,), "bfloat16")) == 128


def test_it_counts_the_activations() -> None:
    from philinit.initializers.gains import _FAMILIES, _TABLE

    assert f"| gains | {len(_FAMILIES) + len(_TABLE)} activations" in README


def test_the_files_it_names_exist() -> None:
    for name in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / name).exists(), name
