# SPDX-License-Identifier: Apache-2.0
r"""Initializations of known models, as maps for `philinit.models`.

Each function returns a `ParameterMap` for the names that models have in torch and in Keras. A
parameter that a recipe does not know is an error, which lists all of them. Put entries of your own
first, ``ParameterMap({"adapter.*": pi.Zeros()}) + recipes.gpt2(12)``. If your model uses another
name for a role, pass a regular expression, ``names={"down": r"my_projection\.weight$"}``; `ROLES`
has the roles of transformers. N(0, s) has stddev s; L is the number of layers, and i = 0, 1, ...
the number of a layer, taken from its name.

Examples
--------
>>> import philinit as pi
>>> parameters = pi.recipes.gpt2(layers=12)
>>> name = "transformer.h.3.mlp.c_proj.weight"
>>> init = parameters.initializer(name, (768, 3072), seed=1)
>>> init.distribution_for((768, 3072)).stddev == 0.02 * (1 / 24 ** 0.5)
True
"""

from philinit.initializers.recipes.deep import deepnorm, mup, sub_ln, t_fixup
from philinit.initializers.recipes.language import (
    gpt2,
    llama,
    megatron,
    olmo,
    small_init,
    wang_init,
)
from philinit.initializers.recipes.names import ROLES
from philinit.initializers.recipes.others import dlrm, identity, mamba, mamba2, siren, sparse
from philinit.initializers.recipes.vision import convnext, delta_orthogonal, dirac, vit

__all__ = [
    "ROLES", "convnext", "deepnorm", "delta_orthogonal", "dirac", "dlrm", "gpt2", "identity",
    "llama", "mamba", "mamba2", "megatron", "mup", "olmo", "siren", "small_init", "sparse",
    "sub_ln", "t_fixup", "vit", "wang_init",
]  # fmt: skip
