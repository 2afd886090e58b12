# SPDX-License-Identifier: Apache-2.0
"""The runner of the Keras benchmark, small; wrong bits stop it before anything is timed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("keras")

import tensorflow as tf

import bench_keras
import philinit.keras as pk


@pytest.fixture(autouse=True)
def _no_seed_left() -> Iterator[None]:
    yield
    tf.random.set_seed(None)


def test_bench_keras_runs(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "keras.json"
    assert bench_keras.main(["--max-params", "2**18", "--rounds", "1", "--json", str(path)]) == 0
    document = json.loads(path.read_text(encoding="utf-8"))
    assert [r["weights"] for r in document["tensors"]] == 3 * [64 * 64] + 3 * [512 * 512]
    assert [r["weights"] for r in document["models"]] == [198_016, 196_608]
    assert all(set(r["seconds"]) == set(bench_keras.CONTENDERS) for r in document["models"])
    assert "must be" in capsys.readouterr().out


def test_resnet50_builds_with_equal_bits() -> None:
    whole, kernels = bench_keras.model("ResNet50", bench_keras.resnet50, 1)
    assert whole.weights == 25_636_712
    assert kernels.what == "ResNet50, 54 kernels alone"


def test_other_bits_are_caught_before_timing() -> None:
    one, other = (pk.HeNormal(seed=1, sampler=s)((64, 64)) for s in ("tensorflow", "native"))
    bench_keras.assert_same_bits("equal", [one], [one])
    with pytest.raises(AssertionError, match="HeNormal: philinit's bits are not Keras's"):
        bench_keras.assert_same_bits("HeNormal", [other], [one])


def test_a_bound_is_judged_by_the_contender_with_equal_bits() -> None:
    names = bench_keras.CONTENDERS
    times = dict(zip(names, ([16.0], [1.0], [0.5]), strict=True))
    judged = [bench_keras.Result("", 1, times, bound).reached for bound in (None, 16.0, 17.0)]
    assert judged == [None, True, False]
