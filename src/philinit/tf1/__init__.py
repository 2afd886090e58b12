# SPDX-License-Identifier: Apache-2.0
"""Drop-in replacements for the initializers of TensorFlow 1, tf.contrib, prettytensor and Caffe.

With an int seed, or under ``tf.compat.v1.set_random_seed``, each gives the bits that TensorFlow's
own gives when it is first run, and fills memory in place. You can use them wherever TensorFlow's
can be used: tf.compat.v1.get_variable (with or without a partitioner), graphs with a Session, eager
code, tf.function, ``tf.Variable(init(shape))``. In a graph, a tensor may have any size, because it
is not part of the GraphDef; it can be run in any process that has imported this module.

==============================================  ================================================
you wrote                                        write instead
==============================================  ================================================
tf.contrib.layers.xavier_initializer             xavier_initializer, xavier_initializer_conv2d
tf.contrib.layers.variance_scaling_initializer   variance_scaling_initializer
tf.compat.v1.X_initializer                       X_initializer, except in the next line
tf.compat.v1.variance_scaling_initializer        VarianceScaling
tf.compat.v1.initializers.X                      initializers.X
prettytensor's xavier_init                       xavier_init
Caffe's fillers xavier and msra                  caffe_xavier, caffe_msra
==============================================  ================================================

Examples
--------
>>> import tensorflow as tf, philinit.tf1
>>> with tf.Graph().as_default(), tf.compat.v1.Session() as session:
...     w = tf.compat.v1.get_variable(
...         "w", [784, 256], initializer=philinit.tf1.xavier_initializer(seed=1)
...     )
...     session.run(tf.compat.v1.global_variables_initializer())
...     session.run(w).shape
(784, 256)
"""

from __future__ import annotations

from types import SimpleNamespace

import philinit.tensorflow  # noqa: F401  (first: where TensorFlow is missing it names the extra)
from philinit.tf1.contrib import (
    CaffeMsra,
    CaffeXavier,
    ContribVarianceScaling,
    xavier_initializer,
)
from philinit.tf1.initializers import (
    Constant,
    Identity,
    Ones,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    Zeros,
    xavier_init,
)
from philinit.tf1.scaling import (
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    LecunNormal,
    LecunUniform,
    UniformUnitScaling,
    VarianceScaling,
)
from philinit.tf1.seeds import Random

# tf.contrib.layers
xavier_initializer_conv2d = xavier_initializer
variance_scaling_initializer = ContribVarianceScaling

# tf.compat.v1
zeros_initializer = Zeros
ones_initializer = Ones
constant_initializer = Constant
random_uniform_initializer = RandomUniform
random_normal_initializer = RandomNormal
truncated_normal_initializer = TruncatedNormal
uniform_unit_scaling_initializer = UniformUnitScaling
glorot_uniform_initializer = GlorotUniform
glorot_normal_initializer = GlorotNormal
orthogonal_initializer = Orthogonal
identity_initializer = Identity

# tf.compat.v1.initializers, and what it has only there
he_normal, he_uniform = HeNormal, HeUniform
lecun_normal, lecun_uniform = LecunNormal, LecunUniform

initializers = SimpleNamespace(
    zeros=Zeros,
    ones=Ones,
    constant=Constant,
    random_uniform=RandomUniform,
    random_normal=RandomNormal,
    truncated_normal=TruncatedNormal,
    uniform_unit_scaling=UniformUnitScaling,
    variance_scaling=VarianceScaling,
    glorot_uniform=GlorotUniform,
    glorot_normal=GlorotNormal,
    he_normal=HeNormal,
    he_uniform=HeUniform,
    lecun_normal=LecunNormal,
    lecun_uniform=LecunUniform,
    orthogonal=Orthogonal,
    identity=Identity,
)

# Caffe
caffe_xavier, caffe_msra = CaffeXavier, CaffeMsra

__all__ = [
    "xavier_initializer", "xavier_initializer_conv2d", "variance_scaling_initializer",
    "xavier_init", "caffe_xavier", "caffe_msra", "zeros_initializer", "ones_initializer",
    "constant_initializer", "random_uniform_initializer", "random_normal_initializer",
    "truncated_normal_initializer", "uniform_unit_scaling_initializer",
    "glorot_uniform_initializer", "glorot_normal_initializer", "orthogonal_initializer",
    "identity_initializer", "he_normal", "he_uniform", "lecun_normal", "lecun_uniform",
    "initializers", "Random", "Zeros", "Ones", "Constant", "RandomUniform", "RandomNormal",
    "TruncatedNormal", "UniformUnitScaling", "VarianceScaling", "GlorotUniform", "GlorotNormal",
    "HeUniform", "HeNormal", "LecunUniform", "LecunNormal", "Orthogonal", "Identity",
    "ContribVarianceScaling", "CaffeXavier", "CaffeMsra",
]  # fmt: skip
