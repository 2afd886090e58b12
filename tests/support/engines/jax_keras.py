# SPDX-License-Identifier: Apache-2.0
"""philinit.keras on Keras's JAX backend, on eight devices: ``python jax_keras.py CASE...``.

Expected values are those of the model that was built without any distribution.
"""

import os
from unittest import mock

os.environ["KERAS_BACKEND"] = "jax"

from jax_cases import check, main

# isort: split
import jax
import keras
import numpy as np
from jax.sharding import PartitionSpec as P

import philinit.keras as pk
from philinit.initializers.seeded import KeyedDistribution

KD = keras.distribution
ROWS, WIDTH = 64, 16


def build(initializer):
    keras.utils.set_random_seed(3)
    return keras.Sequential(
        [
            keras.Input((5,), dtype="int32"),
            keras.layers.Embedding(ROWS, WIDTH, embeddings_initializer=initializer),
            keras.layers.Dense(2 * WIDTH, kernel_initializer=initializer),
            keras.layers.Dense(8, kernel_initializer=pk.Orthogonal(seed=1)),
        ]
    )


def check_model(model, whole):
    for weight, want in zip(model.weights, whole, strict=True):
        check(weight.value, want)


def train(model):
    """A step with Keras's own trainer, which donates the weights."""
    kernel = model.layers[1].kernel
    before, sharding = np.array(kernel.value), kernel.value.sharding
    model.compile("sgd", "mse")
    history = model.fit(np.ones((8, 5), "i4"), np.ones((8, 5, 8), "f4"), epochs=2, verbose=0)
    first, last = history.history["loss"]
    assert last < first
    assert kernel.value.sharding.is_equivalent_to(sharding, 2)
    assert (np.array(kernel.value) != before).any()


def model_parallel():
    """Kernels and tables are spread; each device's part is drawn alone."""
    drawn = []
    write = KeyedDistribution._write

    def recording(self, target):
        drawn.append(target.view.size)
        return write(self, target)

    mesh = KD.DeviceMesh((2, 4), ("batch", "model"), KD.list_devices())
    layouts = KD.LayoutMap(mesh)
    layouts[".*kernel"] = (None, "model")
    layouts[".*embeddings"] = ("model", None)
    distribution = KD.ModelParallel(layout_map=layouts, batch_dim_name="batch")
    whole = [np.array(weight.value) for weight in build(pk.HeNormal(seed=5)).weights]
    with distribution.scope():
        with mock.patch.object(KeyedDistribution, "_write", recording):
            model = build(pk.HeNormal(seed=5))
        assert set(drawn) == {ROWS * WIDTH // 4, 2 * WIDTH**2 // 4, 2 * WIDTH * 8}
        check_model(model, whole)
        kernel = model.layers[1].kernel.value
        assert kernel.sharding.spec == P(None, "model")
        assert {shard.data.shape for shard in kernel.addressable_shards} == {(WIDTH, WIDTH // 2)}
        with pk.accelerate():
            check_model(build(keras.initializers.HeNormal(seed=5)), whole)
        train(model)


def data_parallel():
    """Eight replicas that are alike."""
    whole = [np.array(weight.value) for weight in build(pk.GlorotUniform(seed=5)).weights]
    with KD.DataParallel(devices=KD.list_devices()).scope():
        model = build(pk.GlorotUniform(seed=5))
        check_model(model, whole)
        assert len(model.layers[0].embeddings.value.addressable_shards) == 8
        train(model)


def layouts():
    mesh = KD.DeviceMesh((8,), ("model",), KD.list_devices())
    layout = KD.TensorLayout(("model", None), mesh)
    for dtype in ("float32", "bfloat16", "float16"):
        for init in (pk.HeNormal(seed=5), pk.Ones(), pk.TruncatedNormal(seed=5, sampler="native")):
            tensor = init((16, 6), dtype, layout=layout)
            assert len(tensor.addressable_shards) == jax.device_count() == 8
            assert tensor.addressable_shards[0].data.shape == (2, 6)
            check(tensor, np.asarray(init((16, 6), dtype)))


if __name__ == "__main__":
    main(globals())
