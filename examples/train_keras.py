# SPDX-License-Identifier: Apache-2.0
"""Keras: a small convolutional network on made-up images; `accelerate` is the only change.

On Keras's TensorFlow backend the weights are Keras's own, bit for bit.
"""

import keras
import numpy as np
from keras import layers

import philinit.keras


def images(count, rng, patterns):
    """Noisy images of ten patterns, each moved by up to 3 pixels, and which pattern it is."""
    labels = rng.integers(0, 10, count)
    moves = rng.integers(-3, 4, (count, 2))
    moved = [np.roll(patterns[n], move, (0, 1)) for n, move in zip(labels, moves, strict=True)]
    return np.array(moved) + rng.normal(0, 2, (count, 28, 28, 1)), labels


def build():
    """Three convolutions and two dense layers, as anybody writes them."""
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(16, 3, strides=2, activation="relu", kernel_initializer="he_normal"),
            layers.Conv2D(32, 3, strides=2, activation="relu", kernel_initializer="he_normal"),
            layers.Conv2D(64, 3, activation="relu", kernel_initializer="he_normal"),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.2),
            layers.Dense(10),
        ]
    )


def main():
    """Train for three epochs."""
    rng = np.random.default_rng(0)
    patterns = rng.normal(0, 1, (10, 7, 7, 1)).repeat(4, 1).repeat(4, 2)
    x, y = images(4096, rng, patterns)
    keras.utils.set_random_seed(42)
    with philinit.keras.accelerate():  # this line
        model = build()
    model.compile(
        optimizer=keras.optimizers.Adam(1e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(x, y, batch_size=64, epochs=3, validation_split=0.1, verbose=2)


if __name__ == "__main__":
    main()
