# SPDX-License-Identifier: Apache-2.0
"""G3: sampler="tensorflow" against the initializers of Keras, bit for bit."""

import pytest

from philinit import initializers
from tests.support import reference as r

keras = pytest.importorskip("keras")

RANGE, MOMENTS = {"low": -0.07, "high": 0.3}, {"mean": 0.1, "stddev": 0.03}
INITIALIZERS: dict[str, tuple[dict[str, float], dict[str, float]]] = {
    **{
        name: ({}, {})
        for name in ("GlorotUniform", "GlorotNormal", "HeUniform", "HeNormal")
        + ("LecunUniform", "LecunNormal")
    },
    "RandomUniform": (RANGE, {"minval": -0.07, "maxval": 0.3}),
    "RandomNormal": (MOMENTS, MOMENTS),
    "TruncatedNormal": (MOMENTS, MOMENTS),
}


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("name", INITIALIZERS)
def test_g3_keras_initializers(name: str, dtype: str) -> None:
    """In float64 Keras takes limits by way of float32: that is philinit.keras' business."""
    own, keras_own = INITIALIZERS[name]
    kind = getattr(initializers, name.removeprefix("Random"))
    for shape in ((300, 70), (3, 3, 32, 17), (50_769, 1)):
        for seed in (42, 2**30 + 1):
            want = getattr(keras.initializers, name)(seed=seed, **keras_own)(shape, dtype)
            found = kind(seed=seed, sampler="tensorflow", **own)(shape, dtype)
            r.assert_same_bits(found, want.numpy(), (shape, seed))
