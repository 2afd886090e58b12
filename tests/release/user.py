# SPDX-License-Identifier: Apache-2.0
"""What a user writes, for mypy and pyright: the names are exported, and their types are known."""

from typing import Any

from numpy.typing import NDArray

import philinit as pi
from philinit import models, recipes
from philinit.distributions import Normal

init = pi.HeNormal(seed=42)
named: pi.HeNormal = init.named("conv1/kernel")
weights: NDArray[Any] = named((3, 3, 64, 128), "bfloat16")
rows = init.shard((10**9, 128), slice(5, 9))
again = pi.glorot_uniform((1024, 512), seed=42)
same: bool = init == pi.HeNormal.from_config(init.get_config())
pi.fill(again, Normal(0.0, 0.1), pi.Key.from_seed(7), offset=2**40)
fan_in, fan_out = pi.compute_fans((3, 3, 64, 128))
modules = (models, recipes)
