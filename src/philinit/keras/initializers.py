# SPDX-License-Identifier: Apache-2.0
"""Keras's initializers by their names, each a subclass of the Keras class it answers for."""

from __future__ import annotations

from typing import Any, ClassVar

import keras

from philinit.checks import check_sampler
from philinit.keras import draws
from philinit.keras.checks import KerasOnlyError, backend, check_parameters
from philinit.keras.memory import laid_out, requested, weights
from philinit.keras.parts import requested_part
from philinit.keras.traced import left_in_graph


class Accelerated:
    """A Keras initializer whose calls philinit answers."""

    sampler = "tensorflow"
    _draw: ClassVar[Any]  # a function of `draws`
    _keras_fills: ClassVar[bool] = False  # once and in place; only a layout or a part needs more

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        known = (draws.BY_CLASS[kind] for kind in cls.__mro__ if kind in draws.BY_CLASS)
        cls._draw = next(known, None)

    def __call__(
        self,
        shape: Any,
        dtype: Any = None,
        layout: Any = None,
        partition_shape: Any = None,
        partition_offset: Any = None,
    ) -> Any:
        """The weights, as a tensor of Keras's backend.

        Parameters
        ----------
        shape : sequence of int
            Fans come from it.
        dtype : optional
            float32, float64, float16 or bfloat16; ``keras.config.floatx()`` by default.
        layout : keras.distribution.TensorLayout or jax.sharding.Sharding, optional
            On the JAX backend: each device computes its own part.
        partition_shape, partition_offset : sequence of int, optional
            On the TensorFlow backend: the part that is wanted, as a ParameterServerStrategy with
            a `variable_partitioner` asks for it.
        """
        keras_call: Any = super().__call__  # type: ignore[misc]  # that of the Keras class
        part = None
        if partition_shape is not None or partition_offset is not None:
            part = requested_part(self, shape, partition_shape, partition_offset)
        elif self._keras_fills and layout is None:
            return keras_call(shape, dtype)
        same_in_keras = part is None and self.sampler == "tensorflow"
        if backend() != "tensorflow" and hasattr(self, "seed"):
            same_in_keras = False  # Keras would draw other numbers
        if not (same_in_keras and left_in_graph(for_xla=True)):
            try:
                request = requested(self, type(self)._draw, shape, dtype, self.sampler, part)
            except KerasOnlyError as error:
                if not same_in_keras:
                    raise ValueError(str(error)) from None  # a class that tf.function knows
            else:
                return weights(request, layout)
        return laid_out(lambda: keras_call(shape, dtype), layout)


class Seeded(Accelerated):
    """An initializer with a seed and, keyword-only, a `sampler`."""

    def __init__(self, *args: Any, sampler: str = "tensorflow", **kwargs: Any) -> None:
        if "activation" in kwargs:
            name = type(self).__name__
            raise TypeError(
                f"philinit.keras.{name} has no `activation`, as Keras's has none; "
                f"got activation={kwargs['activation']!r}: take philinit.{name}, or "
                "philinit.keras.VarianceScaling(scale=philinit.gain(activation) ** 2)"
            )
        super().__init__(*args, **kwargs)
        self.sampler = check_sampler(sampler)
        check_parameters(self)

    def get_config(self) -> dict[str, Any]:
        """Keras's config, and the sampler where it is not the default.

        Without it Keras makes its own class of it, where nobody has imported `philinit.keras`; with
        a sampler in it a saved model loads only where somebody has.
        """
        config: dict[str, Any] = super().get_config()  # type: ignore[misc]  # Keras's
        return config if self.sampler == "tensorflow" else {**config, "sampler": self.sampler}


# Each class below ignores one complaint of mypy: it cannot look into Keras, which is untyped.


class RandomUniform(Seeded, keras.initializers.RandomUniform):  # type: ignore[misc]
    """U[minval, maxval), by default [-0.05, 0.05); as ``keras.initializers.RandomUniform``.

    >>> tuple(pk.RandomUniform(-0.1, 0.1, seed=42)((784, 256)).shape)
    (784, 256)

    Parameters
    ----------
    minval, maxval : float
        Finite, minval <= maxval; the constant where they are equal.
    seed : int or keras.random.SeedGenerator, optional
        As in Keras: with an int each call gives the same weights, with a SeedGenerator new ones.
        If left out, an int is drawn, once.
    sampler : str (keyword only)
        "tensorflow": the weights of Keras's TensorFlow backend. "native": the fastest.

    Raises
    ------
    ValueError
        What Keras refuses, with its message; numbers not as described above.
    """


class RandomNormal(Seeded, keras.initializers.RandomNormal):  # type: ignore[misc]
    """Normal of `mean` 0 and `stddev` 0.05 by default; as ``keras.initializers.RandomNormal``.

    >>> layer = keras.layers.Embedding(1000, 64, pk.RandomNormal(stddev=0.02, seed=42))

    Parameters
    ----------
    mean, stddev : float
        Finite, stddev >= 0.
    seed, sampler
        As in `RandomUniform`.
    """


class TruncatedNormal(Seeded, keras.initializers.TruncatedNormal):  # type: ignore[misc]
    """Normal cut at 2 stddev on either side; as ``keras.initializers.TruncatedNormal``.

    >>> keras.layers.Dense(64, kernel_initializer=pk.TruncatedNormal(stddev=0.02)).units
    64

    Parameters
    ----------
    mean, stddev : float
        0 and 0.05 by default, those before the cut. Finite, stddev >= 0.
    seed, sampler
        As in `RandomUniform`.
    """


class VarianceScaling(Seeded, keras.initializers.VarianceScaling):  # type: ignore[misc]
    """Zero mean and variance ``scale / n``; as ``keras.initializers.VarianceScaling``.

    "uniform" has ``limit = sqrt(3 * scale / n)``; "truncated_normal", or "normal", which is the
    same here, has the stddev ``sqrt(scale / n)`` after the cut; "untruncated_normal" has no cut.

    >>> init = pk.VarianceScaling(2.0, "fan_out", "uniform", seed=42)
    >>> layer = keras.layers.Dense(64, kernel_initializer=init)

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


class GlorotUniform(Seeded, keras.initializers.GlorotUniform):  # type: ignore[misc]
    """U[-limit, limit), ``limit = sqrt(6 / (fan_in + fan_out))``; Glorot & Bengio 2010.

    `VarianceScaling` with 1, "fan_avg" and "uniform"; the rest as there.

    >>> w, v = (k.GlorotUniform(seed=42)((784, 256)) for k in (pk, keras.initializers))
    >>> bool((np.asarray(w) == np.asarray(v)).all())
    True
    """


class GlorotNormal(Seeded, keras.initializers.GlorotNormal):  # type: ignore[misc]
    """Truncated normal, ``stddev = sqrt(2 / (fan_in + fan_out))``; Glorot & Bengio 2010.

    `VarianceScaling` with 1, "fan_avg" and "truncated_normal"; the rest as there.

    >>> layer = keras.layers.Dense(64, kernel_initializer=pk.GlorotNormal(seed=42))
    """


class HeUniform(Seeded, keras.initializers.HeUniform):  # type: ignore[misc]
    """U[-limit, limit), ``limit = sqrt(6 / fan_in)``; He et al. 2015, arXiv:1502.01852.

    `VarianceScaling` with 2, "fan_in" and "uniform"; the rest as there.

    >>> layer = keras.layers.Conv2D(32, 3, kernel_initializer=pk.HeUniform(seed=42))
    """


class HeNormal(Seeded, keras.initializers.HeNormal):  # type: ignore[misc]
    """Truncated normal, ``stddev = sqrt(2 / fan_in)``; He et al. 2015, arXiv:1502.01852.

    `VarianceScaling` with 2, "fan_in" and "truncated_normal"; the rest as there.

    >>> layer = keras.layers.Dense(64, "relu", kernel_initializer=pk.HeNormal(seed=42))
    """


class LecunUniform(Seeded, keras.initializers.LecunUniform):  # type: ignore[misc]
    """U[-limit, limit), ``limit = sqrt(3 / fan_in)``; LeCun et al. 1998, Eq. 16.

    `VarianceScaling` with 1, "fan_in" and "uniform"; the rest as there.

    >>> layer = keras.layers.Dense(64, kernel_initializer=pk.LecunUniform(seed=42))
    """


class LecunNormal(Seeded, keras.initializers.LecunNormal):  # type: ignore[misc]
    """Truncated normal, ``stddev = sqrt(1 / fan_in)``; Klambauer et al. 2017, arXiv:1706.02515.

    `VarianceScaling` with 1, "fan_in" and "truncated_normal"; the rest as there.

    >>> layer = keras.layers.Dense(64, "selu", kernel_initializer=pk.LecunNormal(seed=42))
    """


class Orthogonal(Seeded, keras.initializers.Orthogonal):  # type: ignore[misc]
    """Orthonormal rows or columns times `gain`; as ``keras.initializers.Orthogonal``.

    >>> layer = keras.layers.LSTM(64, recurrent_initializer=pk.Orthogonal(seed=42))

    Parameters
    ----------
    gain : float
        Finite; 1 by default.
    seed
        As in `RandomUniform`.
    sampler : str (keyword only)
        "tensorflow": the QR factors, by Keras's backend, of the normals that Keras draws on
        TensorFlow. On other backends the factors, and so the weights, differ in the last digits.
        "native": `philinit.Orthogonal`, the same bits on every backend and machine, and faster.
    """


class Identity(Accelerated, keras.initializers.Identity):  # type: ignore[misc]
    """`gain` on the diagonal of a matrix, 0 elsewhere; as ``keras.initializers.Identity``.

    The config has the gain, which Keras's own forgets.

    >>> layer = keras.layers.SimpleRNN(64, recurrent_initializer=pk.Identity())
    """

    def get_config(self) -> dict[str, Any]:
        """The gain."""
        return {"gain": self.gain}


class Constant(Accelerated, keras.initializers.Constant):  # type: ignore[misc]
    """`value` everywhere; as ``keras.initializers.Constant``.

    >>> layer = keras.layers.Dense(64, bias_initializer=pk.Constant(0.1))
    """


class Zeros(Accelerated, keras.initializers.Zeros):  # type: ignore[misc]
    """0 everywhere; as ``keras.initializers.Zeros``.

    >>> layer = keras.layers.Dense(64, bias_initializer=pk.Zeros())
    """

    _keras_fills = True


class Ones(Accelerated, keras.initializers.Ones):  # type: ignore[misc]
    """1 everywhere; as ``keras.initializers.Ones``.

    >>> layer = keras.layers.BatchNormalization(gamma_initializer=pk.Ones())
    """

    _keras_fills = True


for _kind in (
    RandomUniform, RandomNormal, TruncatedNormal, VarianceScaling, GlorotUniform, GlorotNormal,
    HeUniform, HeNormal, LecunUniform, LecunNormal, Orthogonal, Identity, Constant, Zeros, Ones,
):  # fmt: skip
    keras.saving.register_keras_serializable(package="philinit")(_kind)

OrthogonalInitializer, IdentityInitializer = Orthogonal, Identity
random_uniform, random_normal, truncated_normal = RandomUniform, RandomNormal, TruncatedNormal
variance_scaling = VarianceScaling
glorot_uniform, glorot_normal = GlorotUniform, GlorotNormal
he_uniform, he_normal, lecun_uniform, lecun_normal = HeUniform, HeNormal, LecunUniform, LecunNormal
orthogonal, identity, constant, zeros, ones = Orthogonal, Identity, Constant, Zeros, Ones
