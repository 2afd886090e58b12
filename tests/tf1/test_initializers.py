# SPDX-License-Identifier: Apache-2.0
"""Names, arguments, constants, configurations and refusals of philinit.tf1."""

import copy
import inspect
import json
import math
import os
import pickle

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

from tests.support.processes import run_python

tf = pytest.importorskip("tensorflow")
from philinit import tf1  # noqa: E402  (TensorFlow may be missing)
from tests.support.tf1_graphs import (  # noqa: E402
    PARTITIONED,
    SAME_BITS,
    by_dtype,
    by_name,
    in_graph,
    pair,
    same_bits,
    v1,
    variables,
)


def test_lists_shorter_than_the_shape_repeat_their_last_value():
    found = in_graph(lambda: tf1.constant_initializer([1.0, 2.0])([2, 3]))
    assert found.tolist() == [[1.0, 2.0, 2.0], [2.0, 2.0, 2.0]]


def test_lists_longer_than_the_shape_and_other_shapes_are_refused_as_in_tensorflow():
    for size in (2, 4):  # eager TensorFlow wants one value, or as many as there are elements
        with pytest.raises(TypeError, match="unsupported shape"):
            tf1.constant_initializer([1.0, 2.0, 3.0])([size])
    with tf.Graph().as_default():
        with pytest.raises(ValueError, match="Too many elements"):
            tf1.constant_initializer([1.0, 2.0, 3.0])([2])
        with pytest.raises(TypeError, match="Expected Tensor's shape"):
            tf1.constant_initializer([1.0, 2.0], verify_shape=True)([2, 2])


def test_constants_of_any_dtype_are_tensorflows_own():
    assert tf1.zeros_initializer is v1.zeros_initializer
    assert tf1.ones_initializer is v1.ones_initializer
    assert in_graph(lambda: variables(tf1.constant_initializer(3), [[2]], "int64"))[0].tolist() == [
        3,
        3,
    ]


@by_dtype
def test_identity_equals_tensorflows(dtype):
    for shape in ([3, 3], [2, 5], [5, 2]):
        ours, theirs = pair("identity", {"gain": 1.5, "dtype": tf.as_dtype(dtype)})
        same_bits(ours(shape), theirs(shape))
    with pytest.raises(ValueError, match="`shape` must have 2 axes"):
        ours([2, 2, 2])


def test_every_initializer_of_tensorflow_is_here_with_the_same_arguments():
    spaces = [
        (tf1, v1, [n for n in dir(v1) if n.endswith("_initializer")]),
        (tf1.initializers, v1.initializers, dir(v1.initializers)),
    ]
    others = ("variables", "tables", "global", "local", "_")  # variables' own; VarianceScaling
    for ours, theirs, names in spaces:
        for name in names:
            if name.startswith(others) or name == "variance_scaling_initializer":
                continue
            if theirs is v1.initializers and name == "uniform_unit_scaling":
                continue  # as uniform_unit_scaling_initializer
            expected = inspect.signature(getattr(theirs, name)).parameters.values()
            found = list(inspect.signature(getattr(ours, name)).parameters.values())
            for p, q in zip(expected, found, strict=False):
                assert (p.name, p.default) == (q.name, q.default), name
            rest = found[len(expected) :]
            assert all(q.kind is q.KEYWORD_ONLY for q in rest), name


def test_the_call_has_an_argument_named_partition_info():
    for init in [*PARTITIONED, tf1.xavier_init(2, 3, seed=1)]:
        assert inspect.getfullargspec(type(init).__call__).args[:4] == [
            "self",
            "shape",
            "dtype",
            "partition_info",
        ]


def test_the_constructors_dtype_counts_where_glorots_is_dropped_by_tensorflow():
    for name in ("glorot_uniform", "glorot_normal", "random_normal", "variance_scaling"):
        ours, theirs = pair(name, {}, seed=1, dtype=tf.float64)
        found = in_graph(lambda init=ours: init([5, 4]))
        assert found.dtype == np.float64
        dropped = theirs([5, 4]).dtype
        assert dropped == (tf.float32 if "glorot" in name else tf.float64)
        same_bits(found, in_graph(lambda init=theirs: init([5, 4], tf.float64)))


CONFIGURED = [
    *(getattr(tf1.initializers, name)(**a, seed=3) for name, a in SAME_BITS),
    tf1.orthogonal_initializer(0.5, seed=3),
    tf1.identity_initializer(2.0),
    tf1.xavier_initializer(False, 3, tf.float16, exact=True),
    tf1.variance_scaling_initializer(seed=3, sampler="native"),
    tf1.xavier_init(3, 4, False, seed=3, exact=True),
    tf1.caffe_xavier("AVERAGE", 3),
    tf1.caffe_msra(seed=3),
]


@pytest.mark.parametrize("init", CONFIGURED, ids=lambda init: type(init).__name__)
def test_configurations_reprs_and_copies_make_equal_initializers(init):
    config = json.loads(json.dumps(init.get_config()))
    space = vars(tf1) | {"tf": tf}
    for again in (
        type(init).from_config(config),
        eval(repr(init), space),
        pickle.loads(pickle.dumps(init)),
        copy.deepcopy(init),
    ):
        assert again == init and hash(again) == hash(init) and repr(again) == repr(init)
        assert type(again) is type(init)


@by_name
def test_configurations_can_be_exchanged_with_tensorflow(name, arguments):
    ours, theirs = pair(name, arguments, seed=1)
    if name.startswith(("he", "lecun")):  # functions of a seed there
        assert ours.get_config() == {"seed": 1}
        return
    assert type(theirs).from_config(ours.get_config()).get_config() == theirs.get_config()
    assert type(ours).from_config(theirs.get_config()) == ours


NONSENSE = [
    (lambda: tf1.variance_scaling_initializer(math.nan), ValueError, "`factor` must be finite"),
    (lambda: tf1.variance_scaling_initializer(-1.0), ValueError, "`factor` must be positive"),
    (lambda: tf1.variance_scaling_initializer(0.0), ValueError, "`factor` must be positive"),
    (lambda: tf1.variance_scaling_initializer("2"), TypeError, "`factor` must be"),
    (lambda: tf1.variance_scaling_initializer(mode="fan_in"), TypeError, "`mode` must be one of"),
    (lambda: tf1.variance_scaling_initializer(dtype=tf.int32), TypeError, "must be a floating"),
    (lambda: tf1.xavier_initializer(dtype="int32"), TypeError, "must be a floating"),
    (lambda: tf1.xavier_initializer([3, 4]), TypeError, "with parentheses"),
    (lambda: tf1.xavier_initializer(seed=1)([3], tf.int32), TypeError, "must be a floating"),
    (lambda: tf1.xavier_initializer(sampler="numpy"), ValueError, "`sampler` must be"),
    (lambda: tf1.xavier_initializer(seed=1)([-3]), ValueError, "negative"),
    (lambda: tf1.xavier_init(0, 0), ValueError, r"`n_inputs \+ n_outputs` must be positive"),
    (lambda: tf1.xavier_init(-1, 5), ValueError, "`n_inputs` must be positive"),
    (lambda: tf1.xavier_init(3, math.inf), ValueError, "`n_outputs` must be finite"),
    (lambda: tf1.xavier_init(3, 4, "no"), TypeError, "`uniform` must be a bool"),
    (lambda: tf1.caffe_xavier("fan_in"), ValueError, "`variance_norm` must be one of"),
    (lambda: tf1.caffe_msra("FAN_AVG"), ValueError, "`variance_norm` must be one of"),
    (lambda: tf1.random_uniform_initializer(1.0, 0.9), ValueError, "`minval` must not be above"),
    (lambda: tf1.random_uniform_initializer(2.0), ValueError, "`minval` must not be above"),
    (lambda: tf1.random_uniform_initializer(0, math.inf), ValueError, "`maxval` must be finite"),
    (lambda: tf1.random_normal_initializer(stddev=-1.0), ValueError, "must not be negative"),
    (lambda: tf1.truncated_normal_initializer(math.nan), ValueError, "`mean` must be finite"),
    (lambda: tf1.random_normal_initializer(dtype=tf.int32), ValueError, "must be a floating"),
    (lambda: tf1.uniform_unit_scaling_initializer(-1.0), ValueError, "`factor` must be positive"),
    (lambda: tf1.VarianceScaling(0.0), ValueError, "`scale` must be positive"),
    (lambda: tf1.VarianceScaling(mode="FAN_IN"), ValueError, "`mode` must be one of"),
    (lambda: tf1.VarianceScaling(distribution="cauchy"), ValueError, "`distribution` must be"),
    (lambda: tf1.glorot_uniform_initializer(dtype=tf.int32), ValueError, "must be a floating"),
    (lambda: tf1.orthogonal_initializer(math.nan), ValueError, "`gain` must be finite"),
    (lambda: tf1.orthogonal_initializer(seed=1)([3]), ValueError, "at least 2 axes"),
    (lambda: tf1.he_normal(1, entropy=2), ValueError, "`entropy` must be left out"),
]


@pytest.mark.parametrize(("make", "kind", "text"), NONSENSE, ids=[n[2] for n in NONSENSE])
def test_nonsense_is_refused_in_one_sentence(make, kind, text):
    with pytest.raises(kind, match=text):
        make()


def test_initializers_are_frozen():
    with pytest.raises(AttributeError):
        tf1.xavier_initializer(seed=1).seed = 2


def test_without_tensorflow_the_import_names_the_extra():
    run_python(
        "import sys; sys.modules['tensorflow'] = None\n"
        "try: import philinit.tf1\n"
        "except ImportError as error: assert 'philinit[tensorflow]' in str(error), error\n"
        "else: raise AssertionError\n"
    )
