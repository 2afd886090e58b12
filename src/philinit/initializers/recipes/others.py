# SPDX-License-Identifier: Apache-2.0
"""DLRM, SIREN, Mamba; recurrent networks by identities, and sparse ones."""

from __future__ import annotations

import math

from philinit.checks import positive
from philinit.initializers.base import Initializer
from philinit.initializers.constants import Identity, Ones, Zeros
from philinit.initializers.logarithms import LogRange, LogUniform, UniformLogarithm
from philinit.initializers.models.maps import ParameterMap
from philinit.initializers.plain import Normal, Uniform
from philinit.initializers.recipes.names import ROLES, Names, divided, entries
from philinit.initializers.scaling import VarianceScaling
from philinit.initializers.sparse import Sparse

_MATRIX = r"\w+\.(?:weight|kernel)$"
_BIAS = {"bias": ROLES["bias"]}
_DLRM = {
    **_BIAS,
    "embedding": r"(?:\w*emb\w*|\w+_table)\.(?:.*\.)?(?:weight|embeddings)$",
    "matrix": _MATRIX,
}
_FIRST = r"(?:\w+_)?0\.(?:linear\.)?"
_SIREN = {
    "first": rf"{_FIRST}(?:weight|kernel)$",
    "first_bias": rf"{_FIRST}bias$",
    **_BIAS,
    "matrix": _MATRIX,
}
_MAMBA = {
    "dt": r"dt_proj\.bias$|dt_bias$",
    "a": r"A_log$",
    "d": r"D$",
    "norm": ROLES["norm"],
    "embedding": ROLES["embedding"],
    "convolution": r"conv1d\.(?:weight|kernel|bias)$",
    **_BIAS,
    "output": r"out_proj\.(?:weight|kernel)$",
    "matrix": r"(?:in_proj|x_proj|dt_proj|lm_head)\.(?:weight|kernel)$|reverse_embeddings$",
}
_RECURRENT = {
    "bias": r"\w*bias(?:_[ih]h_l\d+(?:_reverse)?)?$",
    "recurrent": r"weight_hh(?:_l\d+(?:_reverse)?)?$|recurrent_kernel$",
    "matrix": r"weight_ih(?:_l\d+(?:_reverse)?)?$|weight$|kernel$",
}
_SPARSE = {**_BIAS, "matrix": _MATRIX}

# U(+-1 / sqrt(fan_in)), which torch's Linear has by itself: kaiming_uniform_(a=sqrt(5)).
_LINEAR = VarianceScaling(1.0 / 3.0, "fan_in", "uniform", seed=0, from_entropy=True)


def dlrm(*, names: Names = None) -> ParameterMap:
    """Tables U(+-1 / sqrt(rows)); matrices N(0, sqrt(2 / (fan_in + fan_out))).

    Biases are N(0, sqrt(1 / n)), n their own number.

    Source: Naumov et al. 2019, arXiv:1906.00091, and dlrm_s_pytorch.py; TorchRec has the same
    tables.

    >>> recipe = pi.recipes.dlrm()
    >>> init = recipe.initializer("emb_l.0.weight", (10_000, 64), seed=42)
    >>> init.distribution_for((10_000, 64))
    Uniform(low=-0.01, high=0.01)
    """
    plan: dict[str, Initializer] = {
        "bias": VarianceScaling(1.0, "fan_in", "normal", in_axis=0, out_axis=()),
        "embedding": VarianceScaling(1.0 / 3.0, "fan_in", "uniform", in_axis=0, out_axis=1),
        "matrix": VarianceScaling(1.0, "fan_avg", "normal"),
    }
    return ParameterMap(entries(plan, names, roles=_DLRM))


def siren(inputs: int, width: int, *, omega: float = 30.0, names: Names = None) -> ParameterMap:
    """U(+-1 / inputs) in the first layer, U(+-sqrt(6 / fan_in) / omega) in all others.

    The first layer is the one whose component of the name is the number 0, or ends with _0.
    Biases are U(+-1 / sqrt(n)), n the inputs of their layer: `inputs` in the first and `width` in
    the others. Paper and code leave these to torch.

    Source: Sitzmann et al. 2020, arXiv:2006.09661, section 3.2 and supplement 1.5.

    >>> recipe = pi.recipes.siren(inputs=2, width=64)
    >>> init = recipe.initializer("net.0.linear.weight", (64, 2), seed=42)
    >>> init.distribution_for((64, 2))
    Uniform(low=-0.5, high=0.5)
    """
    first = 1.0 / positive("inputs", inputs)
    bias, other = math.sqrt(first), 1.0 / math.sqrt(positive("width", width))
    omega = positive("omega", omega)
    plan: dict[str, Initializer] = {
        "first": Uniform(-first, first),
        "first_bias": Uniform(-bias, bias),
        "bias": Uniform(-other, other),
        "matrix": VarianceScaling(2.0 / (omega * omega), "fan_in", "uniform"),
    }
    return ParameterMap(entries(plan, names, roles=_SIREN))


def mamba(
    layers: int,
    *,
    stddev: float = 0.02,
    dt: tuple[float, float] = (0.001, 0.1),
    convolution: int = 4,
    branches: int = 1,
    names: Names = None,
) -> ParameterMap:
    """Biases of dt with softplus log-uniform in [dt[0], dt[1]); A_log ln 1, ln 2, ... in each row.

    D and gains of norms are 1, embeddings N(0, stddev), other biases 0. Matrices are
    U(+-1 / sqrt(fan_in)), that of dt too, whose inputs are its rank; `out_proj` is divided by
    sqrt(branches L), with 1 or 2 residual branches in a layer. The convolution and its bias are
    U(+-1 / sqrt(convolution)), the length of its kernel.

    Source: Gu & Dao 2023, arXiv:2312.00752, section 3.6, and mamba_ssm, modules/mamba_simple.py
    and models/mixer_seq_simple.py.

    >>> recipe = pi.recipes.mamba(layers=4)
    >>> init = recipe.initializer("layers.0.mixer.out_proj.weight", (64, 64), seed=42)
    >>> init.distribution_for((64, 64))
    Uniform(low=-0.0625, high=0.0625)
    """
    return _mamba(LogRange(), layers, stddev, dt, convolution, branches, names)


def mamba2(
    layers: int,
    *,
    stddev: float = 0.02,
    dt: tuple[float, float] = (0.001, 0.1),
    a: tuple[float, float] = (1.0, 16.0),
    convolution: int = 4,
    branches: int = 1,
    names: Names = None,
) -> ParameterMap:
    """As `mamba`, but A_log is the logarithm of U[a[0], a[1]), one number for each head.

    Source: Dao & Gu 2024, arXiv:2405.21060, and mamba_ssm, modules/mamba2.py.

    >>> recipe = pi.recipes.mamba2(layers=4)
    >>> init = recipe.initializer("layers.0.mixer.out_proj.weight", (64, 64), seed=42)
    >>> init.distribution_for((64, 64))
    Uniform(low=-0.0625, high=0.0625)
    """
    return _mamba(UniformLogarithm(*a), layers, stddev, dt, convolution, branches, names)


def _mamba(
    a: Initializer,
    layers: int,
    stddev: float,
    dt: tuple[float, float],
    convolution: int,
    branches: int,
    names: Names,
) -> ParameterMap:
    limit = 1.0 / math.sqrt(positive("convolution", convolution))
    plan: dict[str, Initializer] = {
        "dt": LogUniform(*dt, inverse_softplus=True),
        "a": a,
        "d": Ones(),
        "norm": Ones(),
        "embedding": Normal(0.0, stddev),
        "convolution": Uniform(-limit, limit),
        "bias": Zeros(),
        "output": divided(_LINEAR, branches, layers),
        "matrix": _LINEAR,
    }
    return ParameterMap(entries(plan, names, roles=_MAMBA))


def identity(*, gain: float = 1.0, stddev: float = 0.001, names: Names = None) -> ParameterMap:
    """Recurrent matrices `gain` times the identity, other matrices N(0, stddev), biases 0.

    Source: Le, Jaitly & Hinton 2015 (IRNN), arXiv:1504.00941, section 2. For plain recurrent
    cells with ReLU: a layer with gates has several matrices in one.

    >>> recipe = pi.recipes.identity()
    >>> init = recipe.initializer("rnn.weight_hh_l0", (64, 64), seed=42)
    >>> bool((init((64, 64)) == np.eye(64)).all())
    True
    """
    plan: dict[str, Initializer] = {
        "bias": Zeros(),
        "recurrent": Identity(gain),
        "matrix": Normal(0.0, stddev),
    }
    return ParameterMap(entries(plan, names, roles=_RECURRENT))


def sparse(sparsity: float, *, stddev: float = 0.01, names: Names = None) -> ParameterMap:
    """N(0, stddev) with ceil(sparsity * rows) zeros in each column of a matrix, biases 0.

    Columns are those of the array, W[:, j]: the weights out of one input in torch, and those
    into one unit in Keras.

    Source: `torch.nn.init.sparse_`; Martens 2010, ICML, section 5, which means the weights into
    a unit.

    >>> recipe = pi.recipes.sparse(0.5)
    >>> init = recipe.initializer("dense.weight", (64, 8), seed=42)
    >>> int((init((64, 8)) == 0).sum())
    256
    """
    plan: dict[str, Initializer] = {"bias": Zeros(), "matrix": Sparse(sparsity, stddev)}
    return ParameterMap(entries(plan, names, roles=_SPARSE))
