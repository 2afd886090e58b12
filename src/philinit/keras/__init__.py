# SPDX-License-Identifier: Apache-2.0
"""Keras initializers with Keras's own numbers, many times faster and without extra memory.

Replace ``keras.initializers.X`` with ``philinit.keras.X``, or keep the model code and put
``with philinit.keras.accelerate():`` around it. Arguments, defaults, aliases, seeds and configs are
Keras's, because each class is a subclass of the Keras class with the same name. On Keras's
TensorFlow backend the weights equal Keras's, bit for bit, and the first optimizer step updates them
in place. On the JAX, torch and NumPy backends you get these same weights, too.

Import ``philinit.keras`` before you load a saved model. Without it, Keras uses its own classes,
which have the same names and, except for ``sampler="native"``, the same configs.
"""

from __future__ import annotations

from philinit.checks import missing_extra

try:
    import keras  # first: where Keras is missing it names the extra
except ModuleNotFoundError as error:
    if error.name != "keras":
        raise  # Keras is here, but lacks something: its own message is the right one
    raise missing_extra("philinit.keras", "Keras", "keras") from error

import philinit.initializers
from philinit.initializers.config import Configured
from philinit.initializers.models import adjusted, pieces, scaled
from philinit.keras.checks import backend
from philinit.keras.initializers import (
    Constant,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Identity,
    IdentityInitializer,
    LecunNormal,
    LecunUniform,
    Ones,
    Orthogonal,
    OrthogonalInitializer,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
    Zeros,
    constant,
    glorot_normal,
    glorot_uniform,
    he_normal,
    he_uniform,
    identity,
    lecun_normal,
    lecun_uniform,
    ones,
    orthogonal,
    random_normal,
    random_uniform,
    truncated_normal,
    variance_scaling,
    zeros,
)
from philinit.keras.models import dry_run, initialize
from philinit.keras.parts import partitioned
from philinit.keras.patch import accelerate, install, uninstall

# philinit's own initializers go into Keras's layers too. Their names alone would bring back Keras's
# own classes, with arguments that those do not have.
_HOMES = (philinit.initializers, pieces, adjusted, scaled)
for _kind in (v for m in _HOMES for v in vars(m).values()):
    if isinstance(_kind, type) and issubclass(_kind, Configured):
        keras.saving.register_keras_serializable(package="philinit.initializers")(_kind)
if backend() == "tensorflow":
    from philinit.tensorflow.initializers import classes, known_to_keras

    for _kind in tuple(classes):
        known_to_keras(_kind)

__all__ = [
    "RandomUniform", "RandomNormal", "TruncatedNormal", "VarianceScaling",
    "GlorotUniform", "GlorotNormal", "HeUniform", "HeNormal", "LecunUniform", "LecunNormal",
    "Orthogonal", "Identity", "Constant", "Zeros", "Ones",
    "OrthogonalInitializer", "IdentityInitializer",
    "random_uniform", "random_normal", "truncated_normal", "variance_scaling",
    "glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal",
    "orthogonal", "identity", "constant", "zeros", "ones",
    "accelerate", "install", "uninstall", "partitioned", "initialize", "dry_run",
]  # fmt: skip
