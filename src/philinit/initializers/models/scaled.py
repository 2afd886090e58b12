# SPDX-License-Identifier: Apache-2.0
"""An initializer times a gain, which may depend on the layer."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from philinit import distributions
from philinit.checks import is_bool, is_ordered, one_of, positive, shown
from philinit.distributions import Distribution
from philinit.initializers.base import Initializer, check_init
from philinit.initializers.constants import Constant
from philinit.initializers.models.composites import Adjusted
from philinit.initializers.seeded import Independent, KeyedDistribution
from philinit.targets import Target

#: Gains by depth, in layer i = 0, 1, ... of L, with one square root and one division each.
FORMULAS: dict[str, Callable[[int, int], float]] = {
    "1/sqrt(L)": lambda i, L: 1.0 / math.sqrt(L),
    "1/sqrt(2L)": lambda i, L: 1.0 / math.sqrt(2 * L),  # GPT-2: two residual branches a layer
    "1/sqrt(i+1)": lambda i, L: 1.0 / math.sqrt(i + 1),
    "1/sqrt(2(i+1))": lambda i, L: 1.0 / math.sqrt(2 * (i + 1)),
}


@dataclass(frozen=True, repr=False, eq=False)
class Scaled(Adjusted):
    """An initializer times a gain, which may depend on the layer's number and on the depth.

    The distribution is scaled, not its rounded numbers: mean, stddev, limits times the gain.

    >>> half = pi.models.Scaled(pi.Normal(0.0, 0.02, seed=42), 0.5)
    >>> half.distribution_for((64, 64)).stddev
    0.01

    Parameters
    ----------
    initializer : initializer
        One that draws its elements independently; or `Constant`, `Identity`, `Orthogonal`,
        `Scaled`. Put it around each of the parts of `Parts`, and inside of `Stacked`.
    gain : float, str, or sequence of float
        A positive number; a formula for layer i = 0, 1, ... of L: ``"1/sqrt(L)"``,
        ``"1/sqrt(2L)"``, as in GPT-2, ``"1/sqrt(i+1)"``, ``"1/sqrt(2(i+1))"``; or the gains of
        all layers in a table.
    depth : int, optional
        L, where a formula has it. Of a table its length.
    layer : int, optional
        i, where the gain has it. A `ParameterMap` takes it from the parameter's name, and
        `Stacked` from the slice.

    Raises
    ------
    TypeError, ValueError
        When made: parameters not as described above. When called: no `layer`, or one that
        `depth` does not reach.

    References
    ----------
    Radford et al. 2019 (GPT-2), 2.3: residual layers times 1 / sqrt(N), N of them.
    """

    initializer: Any
    gain: Any
    depth: int | None = None
    layer: int | None = None

    def __post_init__(self) -> None:
        check_init(self.initializer)
        known = isinstance(self.initializer, (Independent, Constant, Scaled))
        if not (known or hasattr(self.initializer, "gain")):  # as Identity and Orthogonal have
            raise TypeError(
                "`initializer` must be one for the whole tensor, to be scaled; got "
                f"initializer={self.initializer!r}: scale each of its parts"
            )
        object.__setattr__(self, "gain", self._as_gain())
        for name, least in (("depth", 1), ("layer", 0)):
            value = getattr(self, name)
            if value is not None and (is_bool(value) or not isinstance(value, int)):
                raise TypeError(f"`{name}` must be an int or None; got {name}={shown(value)}")
            if value is not None and value < least:
                raise ValueError(f"`{name}` must be at least {least}; got {name}={value}")
        if isinstance(self.gain, tuple):
            if self.depth not in (None, len(self.gain)):
                raise ValueError(
                    "`depth` must be the number of gains, or left out; got "
                    f"depth={self.depth} for {len(self.gain)} gains"
                )
            object.__setattr__(self, "depth", len(self.gain))
        elif self.depth is None and isinstance(self.gain, str) and "L" in self.gain:
            raise ValueError(f"`depth` must be given for the L of gain={self.gain!r}; got None")

    def _as_gain(self) -> Any:
        gain: Any = self.gain
        if isinstance(gain, str):
            return one_of("gain", gain.replace(" ", "").replace("*", ""), tuple(FORMULAS))
        if is_ordered(gain):
            gains = tuple(positive("gain", g) for g in gain)
            if not gains:
                raise ValueError("`gain` must hold a gain for each layer; got none")
            return gains
        return positive("gain", gain)

    @property
    def by_layer(self) -> bool:
        """Whether the gain depends on the number of the layer."""
        gain = self.gain
        return isinstance(gain, tuple) or (isinstance(gain, str) and "i" in gain)

    def factor(self) -> float:
        """The gain as a number."""
        layer = self.layer
        if self.by_layer:
            if layer is None:
                raise ValueError(
                    f"`layer` must be known for gain={self.gain!r}; got None: in a ParameterMap "
                    "let the pattern have a group for the layer's number, or say layer="
                )
            if self.depth is not None and layer >= self.depth:
                raise ValueError(
                    f"`layer` must be below `depth`; got layer={layer} and depth={self.depth}"
                )
        if isinstance(self.gain, tuple):
            return float(self.gain[layer])  # type: ignore[index]  # by_layer
        if isinstance(self.gain, str):
            return FORMULAS[self.gain](layer or 0, self.depth or 1)
        return float(self.gain)

    def distribution_for(self, shape: Any) -> Distribution | None:
        """The distribution, scaled."""
        found = self.initializer.distribution_for(shape)
        return None if found is None else _times(found, self.factor())

    def _at(self, layer: int) -> Self:
        found = super()._at(layer)
        if found.layer is not None or not self.by_layer:
            return found
        return dataclasses.replace(found, layer=layer)

    def _scaled(self, shape: tuple[int, ...]) -> Initializer:
        """What there is to write for a tensor of this shape."""
        init, gain = self.initializer, self.factor()
        while isinstance(init, Scaled):
            init, gain = init.initializer, gain * init.factor()
        if isinstance(init, Independent):
            drawn = _times(init.distribution_for(shape), gain)
            return KeyedDistribution(drawn, init.key, init.sampler)
        if isinstance(init, Constant):
            return init if init.value == 0.0 else Constant(init.value * gain)
        scaled: Initializer = dataclasses.replace(init, gain=init.gain * gain)
        return scaled

    def _check(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._scaled(shape)._check(shape, dtype)

    def _write(self, target: Target) -> None:
        self._scaled(target.shape)._write(target)


def _times(d: Distribution, gain: float) -> Distribution:
    if isinstance(d, distributions.Uniform):
        return distributions.Uniform(d.low * gain, d.high * gain)
    return dataclasses.replace(d, mean=d.mean * gain, stddev=d.stddev * gain)
