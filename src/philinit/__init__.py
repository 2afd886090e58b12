# SPDX-License-Identifier: Apache-2.0
"""Fast, exact, reproducible weight initialization.

>>> import philinit as pi
>>> w = pi.glorot_uniform((1024, 512), seed=42)  # a new ndarray
>>> init = pi.HeNormal(seed=42)  # frozen, comparable, picklable
>>> kernel = init.named("encoder/0/kernel")((3, 3, 256, 512), dtype="float16")
>>> rows = init.shard((10**9, 128), slice(5, 9))  # only these rows of a huge table
>>> w is init.fill(w)  # in place
True
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

import philinit.forks as _forks
from philinit._version import __version__ as __version__

if _TYPE_CHECKING:
    from philinit import distributions as distributions
    from philinit.filling.fill import fill as fill
    from philinit.initializers import Constant as Constant
    from philinit.initializers import GlorotNormal as GlorotNormal
    from philinit.initializers import GlorotUniform as GlorotUniform
    from philinit.initializers import HeNormal as HeNormal
    from philinit.initializers import HeUniform as HeUniform
    from philinit.initializers import Identity as Identity
    from philinit.initializers import Initializer as Initializer
    from philinit.initializers import KaimingNormal as KaimingNormal
    from philinit.initializers import KaimingUniform as KaimingUniform
    from philinit.initializers import LecunNormal as LecunNormal
    from philinit.initializers import LecunUniform as LecunUniform
    from philinit.initializers import Normal as Normal
    from philinit.initializers import Ones as Ones
    from philinit.initializers import Orthogonal as Orthogonal
    from philinit.initializers import TruncatedNormal as TruncatedNormal
    from philinit.initializers import Uniform as Uniform
    from philinit.initializers import VarianceScaling as VarianceScaling
    from philinit.initializers import XavierNormal as XavierNormal
    from philinit.initializers import XavierUniform as XavierUniform
    from philinit.initializers import Zeros as Zeros
    from philinit.initializers import models as models
    from philinit.initializers import recipes as recipes
    from philinit.initializers.fans import compute_fans as compute_fans
    from philinit.initializers.functions import constant as constant
    from philinit.initializers.functions import glorot_normal as glorot_normal
    from philinit.initializers.functions import glorot_uniform as glorot_uniform
    from philinit.initializers.functions import he_normal as he_normal
    from philinit.initializers.functions import he_uniform as he_uniform
    from philinit.initializers.functions import identity as identity
    from philinit.initializers.functions import kaiming_normal as kaiming_normal
    from philinit.initializers.functions import kaiming_uniform as kaiming_uniform
    from philinit.initializers.functions import lecun_normal as lecun_normal
    from philinit.initializers.functions import lecun_uniform as lecun_uniform
    from philinit.initializers.functions import normal as normal
    from philinit.initializers.functions import ones as ones
    from philinit.initializers.functions import orthogonal as orthogonal
    from philinit.initializers.functions import truncated_normal as truncated_normal
    from philinit.initializers.functions import uniform as uniform
    from philinit.initializers.functions import variance_scaling as variance_scaling
    from philinit.initializers.functions import xavier_normal as xavier_normal
    from philinit.initializers.functions import xavier_uniform as xavier_uniform
    from philinit.initializers.functions import zeros as zeros
    from philinit.initializers.gains import gain as gain
    from philinit.keys import Key as Key
    from philinit.parts import Rows as Rows
    from philinit.parts import Shard as Shard

# Where the names above are at run time. They are looked up when first used: their dataclasses
# would cost half of what `import numpy` does.
_HOMES = {
    "distributions": "distributions",
    "filling.fill": "fill",
    "keys": "Key",
    "parts": "Rows Shard",
    "initializers": """
        Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity Initializer
        KaimingNormal KaimingUniform LecunNormal LecunUniform Normal Ones Orthogonal
        TruncatedNormal Uniform VarianceScaling XavierNormal XavierUniform Zeros
    """,
    "initializers.functions": """
        constant glorot_normal glorot_uniform he_normal he_uniform identity kaiming_normal
        kaiming_uniform lecun_normal lecun_uniform normal ones orthogonal truncated_normal
        uniform variance_scaling xavier_normal xavier_uniform zeros
    """,
    "initializers.fans": "compute_fans",
    "initializers.gains": "gain",
    "initializers.models": "models",
    "initializers.recipes": "recipes",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}
__all__ = [*_HOME]


def __getattr__(name: str) -> _Any:
    if name in _HOME:
        with _forks.lock:  # no child may find the module half imported
            module = _import_module(f"philinit.{_HOME[name]}")
        value = getattr(module, name, module)  # some names are modules
        globals()[name] = value
        return value
    raise AttributeError(f"module 'philinit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
