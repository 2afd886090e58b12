# SPDX-License-Identifier: Apache-2.0
"""TensorFlow 1: a graph, a session and `get_variable`; philinit stands where tf.contrib stood.

One line changes, the one that imports `xavier_initializer`. In new code of today read
docs/migrating.md instead.
"""

import numpy as np
import tensorflow.compat.v1 as tf

from philinit.tf1 import xavier_initializer  # was: from tensorflow.contrib.layers

tf.disable_v2_behavior()


def dense(x, units, name, activation=None):
    """A layer as it was written before there was Keras."""
    with tf.variable_scope(name):
        w = tf.get_variable("w", [x.shape[1], units], initializer=xavier_initializer())
        b = tf.get_variable("b", [units], initializer=tf.zeros_initializer())
        y = tf.matmul(x, w) + b
    return activation(y) if activation else y


def main():
    """Train for 600 steps to tell on which side of a curved border a point lies."""
    rng = np.random.default_rng(0)
    points = rng.normal(0, 1, (20_000, 16)).astype(np.float32)
    labels = (np.sin(2 * points[:, 0]) + points[:, 1] * points[:, 2] > 0).astype(np.int64)

    tf.set_random_seed(42)
    x = tf.placeholder(tf.float32, [None, 16], "x")
    y = tf.placeholder(tf.int64, [None], "y")
    hidden = dense(x, 128, "layer1", tf.nn.tanh)
    hidden = dense(hidden, 128, "layer2", tf.nn.tanh)
    logits = dense(hidden, 2, "logits")
    loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits))
    train = tf.train.AdamOptimizer(3e-3).minimize(loss)

    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        for step in range(601):
            batch = rng.integers(0, len(points), 256)
            feed = {x: points[batch], y: labels[batch]}
            _, value = session.run([train, loss], feed_dict=feed)
            if step % 100 == 0:
                print(f"step {step:4}  loss {value:.4f}", flush=True)


if __name__ == "__main__":
    main()
