# SPDX-License-Identifier: Apache-2.0
"""Who takes part in the demo, and what each is asked for: one large embedding.

A fresh process for each keeps peaks of memory and the state of the pages comparable, and gives the
memory back; what is done there stands in `measurements`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from philinit.dtypes import WIDER, as_dtype
from philinit.tools.bench import contenders as bench
from philinit.tools.bench.workloads import Work
from philinit.tools.measure.children import Children
from philinit.tools.measure.machine import HEADROOM

COLUMNS = 1000
TENSORS = 3  # as much as a peer takes for one, its own included
PATIENCE = 3600.0  # seconds of silence: a peer may take long for a billion weights


@dataclass(frozen=True)
class Contender:
    """A contender of the benchmark, under a title of the demo, and with which initializers."""

    title: str
    bench: bench.Contender
    inits: tuple[str, ...]
    dtypes: tuple[str, ...] = WIDER


_UNIFORM, _NORMAL = ("glorot_uniform",), ("he_normal",)
_VARIABLE, _KERAS = bench.CONTENDERS["philinit, tf.Variable"], bench.CONTENDERS["Keras"]
CONTENDERS = {
    "philinit": Contender("philinit", _VARIABLE, _UNIFORM + _NORMAL),
    "philinit_tensorflow": Contender(
        "philinit, TF's bits", _VARIABLE, _UNIFORM, dtypes=("float32",)
    ),
    "tf_uniform": Contender("tf.random.uniform", bench.CONTENDERS["tf.random"], _UNIFORM),
    "keras_uniform": Contender("keras GlorotUniform", _KERAS, _UNIFORM),
    "keras_normal": Contender("keras HeNormal", _KERAS, _NORMAL),
}


@dataclass(frozen=True)
class Measurement:
    """Who, and what everybody is asked for. `init` is "" for memset, which has none."""

    contender: str
    init: str
    shape: tuple[int, int]
    dtype: str
    threads: int | None
    seed: int

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Measurement:
        """One that `asdict` and JSON have been over."""
        return cls(**{**raw, "shape": tuple(raw["shape"])})

    @property
    def work(self) -> Work:
        """The tensor."""
        return Work(self.init or "uniform", self.shape, dtype=self.dtype)

    @property
    def title(self) -> str:
        """The contender's."""
        known = CONTENDERS.get(self.contender)
        return self.contender if known is None else known.title

    def run(self, event: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """The result, of a fresh process; `event` is given its progress and phases.

        Raises
        ------
        ChildProcessError
            The child failed; the message says how.
        """
        with Children("philinit.tools.demo.measurements", PATIENCE) as children:
            return children.ask(self.contender, asdict(self), event)


def rows_that_fit(rows: int, dtype: str, tensors: int, free: int) -> int:
    """As many of `rows` as leave room for `tensors` copies beside `HEADROOM`; 0 if none do."""
    row = COLUMNS * as_dtype(dtype).itemsize * tensors
    return max(0, min(rows, (free - HEADROOM) // row))


def measurements(
    rows: tuple[int, int], memset_rows: int, dtype: str, inits: tuple[str, ...], **shared: Any
) -> list[Measurement]:
    """All of them; `rows` of philinit and of peers, who are left out with 0; memset comes first."""
    found = [Measurement("memset", "", (memset_rows, COLUMNS), "float32", **shared)]
    for init in inits:
        for name, contender in CONTENDERS.items():
            size = rows[contender.bench.peer]
            if init in contender.inits and dtype in contender.dtypes and size:
                found.append(Measurement(name, init, (size, COLUMNS), dtype, **shared))
    return found
