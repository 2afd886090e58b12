# SPDX-License-Identifier: Apache-2.0
"""Recipes on Keras's own layers and models: all of their names are known, with the right stddev."""

from __future__ import annotations

import math
from typing import Any

import pytest

pytest.importorskip("keras")
import keras

import philinit.keras as pk
from philinit import recipes


def stddevs(model: Any, recipe: Any) -> dict[str, Any]:
    return {row["name"]: row["stddev"] for row in pk.dry_run(model, recipe, seed=1).rows()}


def decoder(layers: int) -> Any:
    x = tokens = keras.Input((5,), dtype="int32")
    x = keras.layers.Embedding(50, 64, name="token_embedding")(x)
    for i in range(layers):
        at = f"transformer_layer_{i}"
        y = keras.layers.LayerNormalization(name=f"{at}_norm_1")(x)
        x += keras.layers.MultiHeadAttention(4, 16, name=f"{at}_attention")(y, y)
        y = keras.layers.LayerNormalization(name=f"{at}_norm_2")(x)
        y = keras.layers.Dense(256, "gelu", name=f"{at}.fc1")(y)
        x += keras.layers.Dense(64, name=f"{at}.fc2")(y)
    return keras.Model(tokens, keras.layers.Dense(50, name="logits")(x))


def test_a_decoder_of_keras_layers() -> None:
    model = decoder(2)
    found = stddevs(model, recipes.gpt2(layers=2))
    wide, deep = pytest.approx(0.02), pytest.approx(0.02 / 2)
    for i in range(2):
        attention = f"transformer_layer_{i}_attention"
        assert found[f"{attention}.query.kernel"] == wide
        assert found[f"{attention}.attention_output.kernel"] == deep
        assert found[f"transformer_layer_{i}.fc1.kernel"] == wide
        assert found[f"transformer_layer_{i}.fc2.kernel"] == deep
        assert found[f"{attention}.query.bias"] == found[f"transformer_layer_{i}_norm_1.gamma"] == 0
    assert found["logits.kernel"] == found["token_embedding.embeddings"] == wide

    found = stddevs(model, recipes.deepnorm(layers=2))
    beta = 16**-0.25
    assert found["transformer_layer_0_attention.key.kernel"] == pytest.approx(1 / 8)
    assert found["transformer_layer_0_attention.value.kernel"] == pytest.approx(beta / 8)
    assert found["transformer_layer_0_attention.attention_output.kernel"] == pytest.approx(beta / 8)
    assert found["transformer_layer_1.fc2.kernel"] == pytest.approx(beta * math.sqrt(2 / 320))

    pk.initialize(model, recipes.wang_init(layers=2, width=64), seed=1)
    assert model.get_layer("transformer_layer_1.fc2").kernel.numpy().std() == pytest.approx(
        2 / (2 * 8), rel=0.05
    )


def test_convolutional_networks_of_keras_applications() -> None:
    shape = {"weights": None, "input_shape": (32, 32, 3), "classes": 10}
    model = keras.applications.ConvNeXtTiny(include_preprocessing=False, **shape)
    found = stddevs(model, recipes.convnext(head_scale=0.5))
    for weight in model.weights:
        name, matrix = weight.path.replace("/", "."), len(weight.shape) > 1
        known = 0.01 if "head_dense" in name else 0.02
        assert found[name] == pytest.approx(known if matrix else 0.0), name
    pk.dry_run(keras.applications.ResNet50(**shape), recipes.dirac(), seed=1)


def test_a_recurrent_cell() -> None:
    model = keras.Sequential([keras.layers.SimpleRNN(8, "relu", name="rnn")])
    model.build((None, 4, 3))
    pk.initialize(model, recipes.identity(gain=0.25), seed=1)
    _, recurrent, bias = model.get_weights()
    assert (recurrent == 0.25 * keras.ops.convert_to_numpy(keras.ops.eye(8))).all()
    assert not bias.any()
