# SPDX-License-Identifier: Apache-2.0
"""TensorFlow 2: a recommender with tables of embeddings and a training loop of its own.

Two lines change: `pit.variable` stands where ``tf.Variable(initializer(shape))`` stood. The tables
are filled in the memory that the optimizer updates, and cost no second copy.
"""

import numpy as np
import tensorflow as tf

import philinit as pi
import philinit.tensorflow as pit

USERS, ITEMS, WIDTH = 200_000, 50_000, 32


def ratings(count, rng):
    """Users, items and ratings. Few users and items are popular, as everywhere."""
    users, items = rng.zipf(1.3, count) % USERS, rng.zipf(1.3, count) % ITEMS
    mood, fame = rng.normal(0, 1, USERS), rng.normal(0, 1, ITEMS)
    scores = mood[users] + fame[items] + mood[users] * fame[items]
    return users, items, scores.astype(np.float32)


class Model(tf.Module):
    """Two tables, and two layers over their rows."""

    def __init__(self):
        init = pi.TruncatedNormal(stddev=0.3, seed=42)
        self.users = pit.variable(init.named("users"), (USERS, WIDTH))  # this line
        self.items = pit.variable(init.named("items"), (ITEMS, WIDTH))  # and this one
        self.hidden = pit.variable(pi.HeNormal(seed=42), (2 * WIDTH, 64))
        self.out = pit.variable(pi.GlorotUniform(seed=42), (64, 1))
        self.bias = tf.Variable(tf.zeros(64))

    def __call__(self, users, items):
        """The rating of each pair."""
        rows = [tf.gather(self.users, users), tf.gather(self.items, items)]
        hidden = tf.nn.relu(tf.concat(rows, 1) @ self.hidden + self.bias)
        return tf.squeeze(hidden @ self.out, 1)


def main():
    """Train for 400 steps."""
    users, items, scores = ratings(200_000, np.random.default_rng(0))
    data = tf.data.Dataset.from_tensor_slices((users, items, scores))
    model, optimizer = Model(), tf.keras.optimizers.Adagrad(0.1)

    @tf.function
    def step(users, items, scores):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(users, items) - scores))
        variables = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    for number, batch in enumerate(data.shuffle(10_000, seed=0).batch(512).take(400)):
        loss = step(*batch)
        if number % 50 == 0:
            print(f"step {number:4}  loss {loss:.4f}", flush=True)
    print(f"step {number:4}  loss {loss:.4f}")


if __name__ == "__main__":
    main()
