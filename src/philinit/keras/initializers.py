# SPDX-License-Identifier: Apache-2.0
"""Keras's initializers by their names, each a subclass of the Keras class it answers for."""

from __future__ import annotations

from typing import Any

import keras

from philinit.keras import draws
from philinit.keras.base import Drawing, Faster, KerasFills, Scaling, WithStddev

_registered = keras.saving.register_keras_serializable(package="philinit")

# Each class below ignores one complaint of mypy: it cannot look into Keras, which is untyped.


@_registered
class RandomUniform(Drawing, keras.initializers.RandomUniform):  # type: ignore[misc]
    """U[minval, maxval), by default [-0.05, 0.05); as ``keras.initializers.RandomUniform``.

    Parameters
    ----------
    minval, maxval : float
        Finite, minval <= maxval; the constant where they are equal.
    seed : int or keras.random.SeedGenerator, optional
        As in Keras: with an int each call gives the same weights, with a SeedGenerator new ones.
        Left out, an int is drawn once, here.
    sampler : str (keyword only)
        "tensorflow": the weights of Keras's TensorFlow backend. "native": the fastest.

    Raises
    ------
    ValueError
        Whatever Keras refuses, in its words; numbers outside what is said above.
    """

    _rule = draws.random_uniform

    def _check(self) -> None:
        self._finite("minval", "maxval")
        both = draws.is_number(self.minval) and draws.is_number(self.maxval)
        if both and self.minval > self.maxval:
            raise ValueError(
                "`minval` must not be above `maxval`; "
                f"got minval={self.minval}, maxval={self.maxval}"
            )


@_registered
class RandomNormal(WithStddev, keras.initializers.RandomNormal):  # type: ignore[misc]
    """Normal of `mean` 0 and `stddev` 0.05 by default; as ``keras.initializers.RandomNormal``.

    Parameters
    ----------
    mean, stddev : float
        Finite, stddev >= 0.
    seed, sampler
        As in `RandomUniform`.
    """

    _rule = draws.random_normal


@_registered
class TruncatedNormal(WithStddev, keras.initializers.TruncatedNormal):  # type: ignore[misc]
    """Normal cut at 2 stddev on either side; as ``keras.initializers.TruncatedNormal``.

    Parameters
    ----------
    mean, stddev : float
        0 and 0.05 by default, those before the cut. Finite, stddev >= 0.
    seed, sampler
        As in `RandomUniform`.
    """

    _rule = draws.truncated_normal


@_registered
class VarianceScaling(Scaling, keras.initializers.VarianceScaling):  # type: ignore[misc]
    """Zero mean and variance ``scale / n``; as ``keras.initializers.VarianceScaling``.

    "uniform" has ``limit = sqrt(3 * scale / n)``; "truncated_normal", or "normal", which is the
    same here, has the stddev ``sqrt(scale / n)`` after the cut; "untruncated_normal" has no cut.

    Parameters
    ----------
    scale : float
        Positive and finite; 1 by default.
    mode : str
        What n is: "fan_in" (default), "fan_out" or "fan_avg".
    distribution : str
        "truncated_normal" (default), "untruncated_normal" or "uniform".
    input_axes, output_axes : list of int, optional
        Axes whose products are the fans, both or none; where the installed Keras has them.
    seed, sampler
        As in `RandomUniform`.
    """


@_registered
class GlorotUniform(Scaling, keras.initializers.GlorotUniform):  # type: ignore[misc]
    """U[-limit, limit), ``limit = sqrt(6 / (fan_in + fan_out))``; Glorot & Bengio 2010.

    `VarianceScaling` with scale 1, mode "fan_avg", distribution "uniform"; parameters `seed`,
    `input_axes`, `output_axes` and `sampler`.
    """


@_registered
class GlorotNormal(Scaling, keras.initializers.GlorotNormal):  # type: ignore[misc]
    """Truncated normal, ``stddev = sqrt(2 / (fan_in + fan_out))``; Glorot & Bengio 2010.

    `VarianceScaling` with scale 1, mode "fan_avg", distribution "truncated_normal"; parameters
    `seed`, `input_axes`, `output_axes` and `sampler`.
    """


@_registered
class HeUniform(Scaling, keras.initializers.HeUniform):  # type: ignore[misc]
    """U[-limit, limit), ``limit = sqrt(6 / fan_in)``; He et al. 2015, arXiv:1502.01852.

    `VarianceScaling` with scale 2, mode "fan_in", distribution "uniform"; parameters `seed`,
    `input_axes`, `output_axes` and `sampler`.
    """


@_registered
class HeNormal(Scaling, keras.initializers.HeNormal):  # type: ignore[misc]
    """Truncated normal, ``stddev = sqrt(2 / fan_in)``; He et al. 2015, arXiv:1502.01852.

    `VarianceScaling` with scale 2, mode "fan_in", distribution "truncated_normal"; parameters
    `seed`, `input_axes`, `output_axes` and `sampler`.
    """


@_registered
class LecunUniform(Scaling, keras.initializers.LecunUniform):  # type: ignore[misc]
    """U[-limit, limit), ``limit = sqrt(3 / fan_in)``; LeCun et al. 1998, Eq. 16.

    `VarianceScaling` with scale 1, mode "fan_in", distribution "uniform"; parameters `seed`,
    `input_axes`, `output_axes` and `sampler`.
    """


@_registered
class LecunNormal(Scaling, keras.initializers.LecunNormal):  # type: ignore[misc]
    """Truncated normal, ``stddev = sqrt(1 / fan_in)``; Klambauer et al. 2017, arXiv:1706.02515.

    `VarianceScaling` with scale 1, mode "fan_in", distribution "truncated_normal"; parameters
    `seed`, `input_axes`, `output_axes` and `sampler`.
    """


@_registered
class Orthogonal(Drawing, keras.initializers.Orthogonal):  # type: ignore[misc]
    """Orthonormal rows or columns times `gain`; as ``keras.initializers.Orthogonal``.

    Parameters
    ----------
    gain : float
        Finite; 1 by default.
    seed
        As in `RandomUniform`.
    sampler : str (keyword only)
        "tensorflow": the QR factors, by Keras's backend, of the normals that Keras draws on
        TensorFlow. On other backends the factors, and so the weights, differ in the last digits.
        "native": `philinit.Orthogonal`.
    """

    _rule = draws.orthogonal

    def _check(self) -> None:
        self._finite("gain")


@_registered
class Identity(Faster, keras.initializers.Identity):  # type: ignore[misc]
    """`gain` on the diagonal of a matrix, 0 elsewhere; as ``keras.initializers.Identity``.

    The config has the gain, which Keras's own forgets.
    """

    _rule = draws.identity

    def get_config(self) -> dict[str, Any]:
        """The gain."""
        return {"gain": self.gain}


@_registered
class Constant(Faster, keras.initializers.Constant):  # type: ignore[misc]
    """`value` everywhere; as ``keras.initializers.Constant``."""

    _rule = draws.constant


@_registered
class Zeros(KerasFills, keras.initializers.Zeros):  # type: ignore[misc]
    """0 everywhere; as ``keras.initializers.Zeros``."""

    _rule = draws.zeros


@_registered
class Ones(KerasFills, keras.initializers.Ones):  # type: ignore[misc]
    """1 everywhere; as ``keras.initializers.Ones``."""

    _rule = draws.ones


OrthogonalInitializer, IdentityInitializer = Orthogonal, Identity
random_uniform, random_normal, truncated_normal = RandomUniform, RandomNormal, TruncatedNormal
variance_scaling = VarianceScaling
glorot_uniform, glorot_normal = GlorotUniform, GlorotNormal
he_uniform, he_normal, lecun_uniform, lecun_normal = HeUniform, HeNormal, LecunUniform, LecunNormal
orthogonal, identity, constant, zeros, ones = Orthogonal, Identity, Constant, Zeros, Ones
