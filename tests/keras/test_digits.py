# SPDX-License-Identifier: Apache-2.0
"""A convolutional network learns real digits, in TensorFlow 2 and in TensorFlow 1 style.

With philinit's initializers the loss of every single step is the same float as with TensorFlow's
own. The network is that of the tutorial of tests/snippets/test_snippets_002; the digits come with
scikit-learn. Each style trains in a process of its own, since deterministic operations, once
enabled, stay so.
"""

import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

from tests.support.processes import run_module

tf = pytest.importorskip("tensorflow")
pytest.importorskip("sklearn")

EPOCHS, BATCH, RATE, HELD_OUT = 4, 32, 0.005, 297


def digits():
    """1797 digits of 8 x 8 pixels in [0, 1], 297 of them, of all writers, held out."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    mixed = np.random.default_rng(1).permutation(len(labels))
    images, labels = (images / 16.0).astype(np.float32).reshape(-1, 8, 8, 1)[mixed], labels[mixed]
    return images[:-HELD_OUT], labels[:-HELD_OUT], images[-HELD_OUT:], labels[-HELD_OUT:]


def batches(count):
    """The same order for everybody: indices of each step."""
    order = np.random.default_rng(0)
    for _ in range(EPOCHS):
        shuffled = order.permutation(count)
        yield from (shuffled[i : i + BATCH] for i in range(0, count, BATCH))


# --- TensorFlow 2 --------------------------------------------------------------------------------


def keras_model(conv=None, dense=None):
    """The tutorial's model; None: whatever Keras takes by default."""
    keras = tf.keras
    conv = {} if conv is None else {"kernel_initializer": conv}
    dense = {} if dense is None else {"kernel_initializer": dense}
    return keras.Sequential(
        [
            keras.layers.Input(shape=(8, 8, 1)),
            keras.layers.Conv2D(32, kernel_size=(3, 3), activation="relu", **conv),
            keras.layers.MaxPooling2D(pool_size=(2, 2)),
            keras.layers.Flatten(),
            keras.layers.Dense(10, activation="softmax", **dense),
        ]
    )


def train_keras(build, seed=1):
    """Losses step by step, and the accuracy on the digits held out."""
    keras = tf.keras
    keras.utils.set_random_seed(seed)
    model = build()
    adam = keras.optimizers.Adam(RATE)
    model.compile(adam, loss="sparse_categorical_crossentropy")
    x, y, x_test, y_test = digits()
    losses = []

    class Record(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            self.model.reset_metrics()  # they are means since the start of the epoch

        def on_train_batch_end(self, batch, logs=None):
            losses.append(float(logs["loss"]))

    order = np.concatenate(list(batches(len(x))))
    model.fit(x[order], y[order], BATCH, shuffle=False, verbose=0, callbacks=[Record()])
    read = model(x_test).numpy().argmax(axis=1)
    return {"losses": losses, "accuracy": float((read == y_test).mean())}


def keras_runs():
    import philinit.keras as pk

    def classes(space):
        return lambda: keras_model(space.GlorotUniform(), space.GlorotUniform())

    def accelerated(build):
        def inside():
            with pk.accelerate():
                return build()

        return inside

    keras = tf.keras.initializers
    runs = {
        "Keras's classes": train_keras(classes(keras)),
        "philinit's classes": train_keras(classes(pk)),
        "Keras's classes, accelerated": train_keras(accelerated(classes(keras))),
        "names": train_keras(lambda: keras_model("he_normal", "glorot_uniform")),
        "names, accelerated": train_keras(
            accelerated(lambda: keras_model("he_normal", "glorot_uniform"))
        ),
        "defaults": train_keras(keras_model),
        "another seed": train_keras(classes(keras), seed=2),
    }
    pk.install()
    runs["defaults, installed"] = train_keras(keras_model)
    pk.uninstall()
    with pk.accelerate(sampler="native"):
        runs["native"] = train_keras(keras_model)
    return runs


# --- TensorFlow 1 --------------------------------------------------------------------------------


def train_tf1(initializer, graph_seed=None):
    """As `train_keras`; placeholders, get_variable and a Session."""
    v1 = tf.compat.v1
    x, y, x_test, y_test = digits()
    with tf.Graph().as_default(), v1.Session() as session:
        v1.set_random_seed(graph_seed)
        inputs = v1.placeholder(tf.float32, shape=[None, 8, 8, 1])
        labels = v1.placeholder(tf.int64, shape=[None])
        kernel = v1.get_variable("conv/kernel", [3, 3, 1, 32], initializer=initializer)
        bias = v1.get_variable("conv/bias", [32], initializer=v1.zeros_initializer())
        convolved = tf.nn.relu(tf.nn.conv2d(inputs, kernel, 1, "SAME") + bias)
        flat = v1.reshape(tf.nn.max_pool2d(convolved, 2, 2, "VALID"), [-1, 4 * 4 * 32])
        kernel = v1.get_variable("dense/kernel", [4 * 4 * 32, 10], initializer=initializer)
        bias = v1.get_variable("dense/bias", [10], initializer=v1.zeros_initializer())
        logits = tf.matmul(flat, kernel) + bias
        loss = v1.losses.sparse_softmax_cross_entropy(labels, logits)
        right = tf.reduce_mean(tf.cast(tf.equal(tf.argmax(logits, 1), labels), tf.float32))
        step = v1.train.AdamOptimizer(RATE).minimize(loss)
        session.run(v1.global_variables_initializer())
        losses = [
            float(session.run([loss, step], {inputs: x[batch], labels: y[batch]})[0])
            for batch in batches(len(x))
        ]
        accuracy = session.run(right, {inputs: x_test, labels: y_test})
    return {"losses": losses, "accuracy": float(accuracy)}


def tf1_runs():
    from philinit import tf1

    v1 = tf.compat.v1
    return {
        "TensorFlow's": train_tf1(v1.glorot_uniform_initializer(seed=1)),
        "philinit's": train_tf1(tf1.glorot_uniform_initializer(seed=1)),
        "TensorFlow's, graph seed": train_tf1(v1.glorot_uniform_initializer(), 1),
        "philinit's, graph seed": train_tf1(tf1.glorot_uniform_initializer(), 1),
        "xavier_initializer": train_tf1(tf1.xavier_initializer(), 1),
        "TensorFlow's default, graph seed": train_tf1(None, 1),
    }


# --- the comparison ------------------------------------------------------------------------------


def in_a_process(style):
    done = run_module("tests.keras.test_digits", style)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def in_keras():
    return in_a_process("keras")


@pytest.fixture(scope="module")
def in_tf1():
    return in_a_process("tf1")


STEPS = EPOCHS * -(-(1797 - HELD_OUT) // BATCH)


def equal_step_by_step(runs, ours, theirs):
    assert len(runs[ours]["losses"]) == STEPS
    assert runs[ours] == runs[theirs]  # floats, all of them, and the accuracy


def test_keras_loss_is_the_same_at_every_step(in_keras):
    equal_step_by_step(in_keras, "philinit's classes", "Keras's classes")
    equal_step_by_step(in_keras, "Keras's classes, accelerated", "Keras's classes")
    equal_step_by_step(in_keras, "names, accelerated", "names")
    equal_step_by_step(in_keras, "defaults, installed", "defaults")


def test_keras_default_is_glorot_uniform(in_keras):
    equal_step_by_step(in_keras, "defaults", "Keras's classes")


def test_equality_is_no_accident_other_weights_give_other_losses(in_keras):
    first = {name: run["losses"][0] for name, run in in_keras.items()}
    assert len({first[n] for n in ("Keras's classes", "names", "another seed", "native")}) == 4


def test_tf1_loss_is_the_same_at_every_step(in_tf1):
    equal_step_by_step(in_tf1, "philinit's", "TensorFlow's")
    equal_step_by_step(in_tf1, "philinit's, graph seed", "TensorFlow's, graph seed")
    assert in_tf1["philinit's"]["losses"] != in_tf1["philinit's, graph seed"]["losses"]


def test_tf1_xavier_and_the_default_of_get_variable_are_glorot_uniform(in_tf1):
    equal_step_by_step(in_tf1, "xavier_initializer", "TensorFlow's, graph seed")
    equal_step_by_step(in_tf1, "philinit's, graph seed", "TensorFlow's default, graph seed")


@pytest.mark.parametrize("style", ["keras", "tf1"])
def test_the_network_learns_to_read(style, in_keras, in_tf1):
    for name, run in (in_keras if style == "keras" else in_tf1).items():
        assert run["accuracy"] > 0.9, (name, run["accuracy"])
        assert np.mean(run["losses"][-20:]) < 0.1 * run["losses"][0], name


if __name__ == "__main__":
    tf.config.experimental.enable_op_determinism()
    print(json.dumps({"keras": keras_runs, "tf1": tf1_runs}[sys.argv[1]]()))
