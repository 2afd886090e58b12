# SPDX-License-Identifier: Apache-2.0
"""docs/migrating.md: its code runs, its tables claim the right bits, its picture is true.

Lines marked "formula" or "distribution" are held to that in tests/snippets, which has the snippets.
"""

import functools
import importlib.util
import math
import os
import re

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")
if keras.backend.backend() != "tensorflow":
    pytest.skip("Keras runs on another backend", allow_module_level=True)

import philinit.keras as pk  # noqa: E402  (Keras may be missing)
from tests.support.paths import DOCS  # noqa: E402

v1 = tf.compat.v1
GUIDE = (DOCS / "migrating.md").read_text(encoding="utf-8")
PREAMBLE, *SECTIONS = re.split(r"^(?=#{2,3} )", GUIDE, flags=re.MULTILINE)


def code_of(text):
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def names():
    """What the guide's examples start with."""
    (imports,) = code_of(PREAMBLE)
    found = {}
    exec(imports, found)
    return found


@pytest.fixture(autouse=True)
def _as_it_was():
    yield
    pk.uninstall()
    tf.random.set_seed(None)


# --- examples ------------------------------------------------------------------------------------

WITH_CODE = [section for section in SECTIONS if code_of(section)]


# Keras saves a model by way of np.array(variable), whose copy keyword TensorFlow has not.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("section", WITH_CODE, ids=lambda s: s.splitlines()[0].lstrip("# "))
def test_examples_run(section):
    found = names()
    for code in code_of(section):
        exec(compile(code, "migrating.md", "exec"), found)


def test_every_question_has_an_answer_with_code():
    _, answers = GUIDE.split("\n## Answers\n")
    questions = re.split(r"^### ", answers.split("\n## ")[0], flags=re.MULTILINE)[1:]
    assert len(questions) == 8
    assert all(code_of(question) for question in questions)


def test_links_lead_somewhere():
    def anchor(heading):
        return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")

    anchors = {anchor(heading) for heading in re.findall(r"^#+ (.*)$", GUIDE, re.MULTILINE)}
    links = re.findall(r"\]\(([^)]*)\)", GUIDE)
    assert len(links) > 8
    for link in links:
        assert link[1:] in anchors if link.startswith("#") else (DOCS / link).is_file(), link
    for path in re.findall(r"`((?:tests|docs)/[\w./]*)`", GUIDE):
        assert (DOCS.parent / path).exists(), path


# --- the tables ----------------------------------------------------------------------------------

# tf.x of the pages, where TensorFlow has it today; tf.compat.v1.layers went with Keras 3.
TODAY = {
    "tf.get_variable(": "v1.get_variable(",
    "tf.truncated_normal(": "v1.truncated_normal(",
    "tf.truncated_normal_initializer(": "v1.truncated_normal_initializer(",
    "tf.random_uniform(": "v1.random_uniform(",
    "tf.random_normal(": "v1.random_normal(",
    "tf.compat.v1.layers.dense(inputs=..., units=64, kernel_initializer=": (
        'v1.get_variable("kernel", [100, 64], initializer='
    ),
    "tf.compat.v1.layers.conv2d(inputs=..., filters=32, kernel_size=3, kernel_initializer=": (
        'v1.get_variable("kernel", [3, 3, 16, 32], initializer='
    ),
}
TERMS = {"same", "formula", "distribution", "other"}


def rows():
    """(wrote, now, bits) of each line of the tables; the first code of a cell is the one."""
    found = []
    for line in GUIDE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("|") and len(cells) == 4 and cells[2] in TERMS:
            code = [re.search(r"`([^`]*)`", cell) for cell in cells[:2]]
            found.append((*(match and match[1] for match in code), cells[2]))
    return found


ROWS = rows()
SAME = [row[:2] for row in ROWS if row[2] == "same"]


def weights(expression):
    """What a line gives under the seed 1: of Keras's seeds, or of the graph."""
    found = names() | {
        "shape": (60, 40),
        "n_prev": 70,
        "n": 30,
        "low": -4 * math.sqrt(6 / 100),
        "high": 4 * math.sqrt(6 / 100),
        "stddev": math.sqrt(2 / 100),
        "dims": [30, 20, 10],
        "mu": [0.0, 0.1, 0.2],
        "std": [1.0, 0.1, 0.01],
        "l": 1,
    }
    if "keras" in expression or "pk." in expression or "tf.initializers." in expression:
        keras.utils.set_random_seed(1)
        made = eval(expression, found)
        if isinstance(made, keras.layers.Layer):
            made.build((None, 8, 8, 16) if isinstance(made, keras.layers.Conv2D) else (None, 100))
            made = made.kernel
        return np.asarray(made)
    with tf.Graph().as_default(), v1.Session() as session:
        v1.set_random_seed(1)
        made = eval(expression, found)
        session.run(v1.global_variables_initializer())
        return made if isinstance(made, np.ndarray) else session.run(made)


def test_the_tables_are_read_whole():
    lines = [line for line in GUIDE.splitlines() if line.startswith("| ") and "`" in line]
    assert len([row for row in ROWS if row[1]]) == len(ROWS) == 32
    assert len(SAME) == 16
    assert len(lines) >= len(ROWS)


@pytest.mark.parametrize("now", [row[1] for row in ROWS])
def test_what_you_write_now_runs(now):
    found = weights(now)
    assert found.size > 0 and np.isfinite(found).all() and found.std() > 0


@pytest.mark.parametrize(("wrote", "now"), SAME, ids=[row[1] for row in SAME])
def test_same_bits_where_the_tables_say_so(wrote, now):
    for old, today in TODAY.items():
        wrote = wrote.replace(old, today)
    expected, found = weights(wrote), weights(now)
    assert found.dtype == expected.dtype and found.shape == expected.shape
    assert found.tobytes() == expected.tobytes()


def test_keras_bits_where_a_layer_of_tensorflow_1_became_one_of_keras():
    layers = [
        row[1] for row in ROWS if row[1].startswith("tf.keras.layers") and row[2] == "distribution"
    ]
    assert len(layers) == 3
    for now in layers:
        expected = weights(now.replace("pk.", "keras.initializers."))
        assert weights(now).tobytes() == expected.tobytes()


# --- figures in the text -------------------------------------------------------------------------


def test_gradients_of_deep_sigmoid_networks_change_as_stated():
    # Mean field, equal fans: v = gain**2 E f(z)**2 is the variance of z, gain**2 E f'(z)**2 the
    # factor of the gradients' mean square; expectations over z ~ N(0, v), by quadrature.
    x, w = np.polynomial.hermite_e.hermegauss(200)
    w /= w.sum()
    for gain, factor in ((4, 0.40), (1, 0.056)):
        v = 1.0
        for _ in range(300):
            f = 1 / (1 + np.exp(-math.sqrt(v) * x))
            v = gain**2 * (w @ f**2)
        assert gain**2 * (w @ (f * (1 - f)) ** 2) == pytest.approx(factor, abs=0.005)
        assert f"{factor:g}" in GUIDE


def test_a_float32_softmax_is_zero_beyond_logits_87_apart():
    assert "about 87 apart" in GUIDE
    near, far = tf.nn.softmax([[0.0, 86.0], [0.0, 88.0]]).numpy()[:, 0]
    assert near > 0 and far == 0


# --- the picture ---------------------------------------------------------------------------------


@functools.cache
def activations():
    pytest.importorskip("matplotlib")
    spec = importlib.util.spec_from_file_location("activations", DOCS / "activations.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@functools.cache
def curves():
    return {curve.name: curve for curve in activations().curves(1024)}


def test_the_script_draws_the_same_file_each_time(tmp_path, capsys):
    files = [tmp_path / "one.svg", tmp_path / "two.svg"]
    for file in files:
        activations().main(["--width", "32", "--output", str(file)])
    assert files[0].read_bytes() == files[1].read_bytes()
    assert capsys.readouterr().out.count("->") == 8


# By theory the mean square changes by variance * fan_in / 2 in a ReLU layer; the cut normal's
# stddev is 0.0880.
@pytest.mark.parametrize(
    ("name", "factor"),
    [
        ("truncated normal", math.sqrt(0.1**2 * 0.87962566103423978**2 * 1024 / 2)),
        ("He normal", 1.0),
        ("Glorot uniform", math.sqrt(1 / 2)),
        ("He uniform, mistaken", math.sqrt(1 / 3)),
    ],
)
def test_activations_change_from_layer_to_layer_as_theory_says(name, factor):
    curve = curves()[name]
    assert len(curve.stddev) == 20
    assert curve.factor == pytest.approx(factor, rel=0.02)
    # Each single layer: the mean square of the 256 outputs of 1024 units has about 10 % scatter.
    steps = np.array(curve.stddev[1:]) / np.array(curve.stddev[:-1])
    assert np.abs(steps / factor - 1).max() < 0.15
    low, high = (np.array(band) for band in (curve.low, curve.high))
    assert (low < curve.stddev).all() and (curve.stddev < high).all()


def test_he_keeps_the_size_stddev_0_1_explodes_and_the_mistaken_limit_fades():
    ends = {name: curve.stddev[-1] for name, curve in curves().items()}
    assert 0.5 < ends["He normal"] < 1.5
    assert ends["truncated normal"] > 1e5
    assert ends["He uniform, mistaken"] < ends["Glorot uniform"] / 20 < 1e-3


def test_the_picture_is_the_scripts():
    picture = (DOCS / "activations.svg").read_text(encoding="utf-8")
    assert len(picture) < 100_000
    assert "dc:date" not in picture
    for curve in curves().values():  # text is drawn as outlines, and kept in comments
        assert f"<!-- {curve.name}, ×{curve.factor:.2f} a layer -->" in picture
