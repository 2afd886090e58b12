# SPDX-License-Identifier: Apache-2.0
"""Small tensors: one call of each adapter beside the same call of the library's own, warm.

    python benchmarks/bench_small.py [--shape 64 64] [--rounds 100] [--calls 20] [--json PATH]

Everybody in one process, in turns. A round is so few calls that many a one is not disturbed, and
the best one counts: a small call that had to wait for the machine says nothing of itself. What is
made is Glorot uniform float32 unless the line says otherwise. A library that is not installed is
left out. Writes JSON with every single time, prints the table. Exit code 0 whatever was reached.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from rich import box
from rich.table import Table

import philinit as pi
import scripts
from philinit.tools.measure.clock import Call, Times, in_turns

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """One call of ours, and a library's own for the same tensor, or None."""

    what: str
    ours: Call
    peer: str = ""
    theirs: Call | None = None
    slow: bool = False  # a tenth of the calls are enough


@dataclass(frozen=True)
class Must:
    """What a line must reach: at most so many us, or so much "of it", the peer; or at least x."""

    unit: str  # "us", "of it", "x"
    bound: float
    aim: float


MUSTS = {
    "pit.variable": Must("of it", 1.1, 0.9),
    "philinit.keras.GlorotUniform": Must("x", 3.0, 5.0),
    "pt.fill_": Must("us", 15.0, 10.0),
    "pj.array": Must("us", 60.0, 30.0),
}


@dataclass(frozen=True)
class Result:
    """Seconds of a call in each round: ours, and the peer's where there is one."""

    what: str
    peer: str
    seconds: Times

    def us(self, name: str) -> float | None:
        """Microseconds of the best round of "philinit" or "peer"."""
        return min(self.seconds[name]) * 1e6 if name in self.seconds else None

    @property
    def faster(self) -> float | None:
        """How many times as fast as the peer."""
        theirs = self.us("peer")
        return None if theirs is None else theirs / (self.us("philinit") or theirs)

    @property
    def figure(self) -> float | None:
        """What is held against the must, in its unit."""
        must, faster = MUSTS.get(self.what), self.faster
        if must is None or must.unit == "us":
            return self.us("philinit")
        if faster is None:
            return None
        return faster if must.unit == "x" else 1.0 / faster

    @property
    def reached(self) -> bool | None:
        """Whether it is; None where nothing must be."""
        must, figure = MUSTS.get(self.what), self.figure
        if must is None or figure is None:
            return None
        return figure >= must.bound if must.unit == "x" else figure <= must.bound


# --- the calls -----------------------------------------------------------------------------------


def native(shape: Shape) -> Iterator[Case]:
    """philinit alone."""
    init = pi.GlorotUniform(seed=1)
    yield Case("init(shape)", lambda: init(shape))
    yield Case("pi.glorot_uniform(shape, seed=1)", lambda: pi.glorot_uniform(shape, seed=1))


def tensorflow(shape: Shape) -> Iterator[Case]:
    """Variables beside the cheapest that TensorFlow makes: zeros."""
    import tensorflow as tf

    import philinit.tensorflow as pit

    init = pi.GlorotUniform(seed=1)
    yield Case(
        "pit.variable",
        lambda: pit.variable(init, shape),
        "tf.Variable(tf.zeros(shape))",
        lambda: tf.Variable(tf.zeros(shape)),
    )
    yield Case(
        "pit.to_tensor",
        lambda: pit.to_tensor(init, shape),
        "tf.random.uniform(shape)",
        lambda: tf.random.uniform(shape),
    )


def keras(shape: Shape) -> Iterator[Case]:
    """Keras's initializers and philinit's, with equal bits; and Keras's inside accelerate()."""
    import keras as k

    import philinit.keras as pk

    for name in ("GlorotUniform", "HeNormal"):
        own, theirs = getattr(pk, name)(seed=1), getattr(k.initializers, name)(seed=1)
        yield Case(
            f"philinit.keras.{name}",
            lambda own=own: own(shape),  # type: ignore[misc]  # bound now
            f"keras.initializers.{name}",
            lambda theirs=theirs: theirs(shape),  # type: ignore[misc]
        )

    def accelerated() -> Any:
        with pk.accelerate():
            return build()

    def build() -> Any:
        layer = k.layers.Dense(shape[-1])
        layer.build((None, shape[0]))
        return layer.kernel

    yield Case("Dense, accelerate()", accelerated, "keras.layers.Dense", build, slow=True)


def torch(shape: Shape) -> Iterator[Case]:
    """A tensor that exists, filled."""
    import torch as t

    import philinit.torch as pt

    init, tensor = pt.layout(pi.GlorotUniform(seed=1)), t.empty(shape)
    yield Case(
        "pt.fill_",
        lambda: pt.fill_(tensor, init),
        "torch.nn.init.xavier_uniform_",
        lambda: t.nn.init.xavier_uniform_(tensor),
    )


def jax(shape: Shape) -> Iterator[Case]:
    """Arrays, outside of jax.jit and inside; JAX's own inside, where it is fastest."""
    import jax as j

    import philinit.jax as pj

    key, init = j.random.key(0), pi.GlorotUniform(seed=1)
    ours = pj.initializer(init)
    theirs = j.jit(lambda key: j.nn.initializers.glorot_uniform()(key, shape))
    inside = j.jit(lambda key: ours(key, shape))
    name = "jax.nn.initializers, jax.jit"

    def ready(call: Callable[..., Any], *arguments: Any) -> Call:
        return lambda: call(*arguments).block_until_ready()

    yield Case("pj.array", ready(pj.array, init, shape), name, ready(theirs, key))
    yield Case("pj.initializer", ready(ours, key, shape), name, ready(theirs, key))
    yield Case("pj.initializer, jax.jit", ready(inside, key), name, ready(theirs, key))


LIBRARIES = {
    "philinit": native,
    "tensorflow": tensorflow,
    "keras": keras,
    "torch": torch,
    "jax": jax,
}


# --- the measurement -----------------------------------------------------------------------------


def measure(case: Case, shape: Shape, rounds: int, calls: int) -> Result:
    """Both calls of a case, many times a round, in turns."""
    calls = max(1, calls // 10) if case.slow else calls
    both = {"philinit": case.ours} | ({"peer": case.theirs} if case.theirs else {})

    def repeated(call: Call) -> Call:
        def many() -> None:
            for _ in range(calls):
                call()

        return many

    for call in both.values():
        assert tuple(call().shape) == shape, case.what
        repeated(call)()  # warm
    taken = in_turns({name: repeated(call) for name, call in both.items()}, rounds)
    seconds = {name: [one / calls for one in times] for name, times in taken.items()}
    return Result(case.what, case.peer, seconds)


def show(results: list[Result], shape: Shape, say: Callable[[Any], None]) -> None:
    """One row a result: microseconds, how many times as fast, what must be."""
    title = f"{shape}, microseconds of a call, best round"
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.add_column("float32", no_wrap=True)
    table.add_column("us", justify="right", no_wrap=True)
    table.add_column("beside", no_wrap=True)
    for column in ("us", "x", "must be"):
        table.add_column(column, justify="right", no_wrap=True)
    for r in results:
        must, theirs, faster = MUSTS.get(r.what), r.us("peer"), r.faster
        judged = {None: "", True: "reached", False: "[red]missed[/red]"}[r.reached]
        sign = ">=" if must and must.unit == "x" else "<="
        table.add_row(
            r.what,
            f"{r.us('philinit'):.1f}",
            r.peer,
            "" if theirs is None else f"{theirs:.1f}",
            "" if faster is None else f"{faster:.2f}",
            f"{sign} {must.bound:g} {must.unit} {judged}" if must else "",
        )
    say(table)


def main(arguments: list[str] | None = None) -> int:
    """Measure, write JSON, print."""
    parser = scripts.measuring(__doc__, rounds=100)
    parser.add_argument("--shape", type=scripts.count, nargs=2, default=(64, 64))
    parser.add_argument("--calls", type=int, default=20)
    options = parser.parse_args(arguments)
    console, shape = scripts.console(), tuple(options.shape)
    results, missing = [], []
    for library, cases in LIBRARIES.items():
        if importlib.util.find_spec(library) is None:
            missing.append(library)
            console.print(f"{library}: left out, it is not installed", highlight=False)
            continue
        results += [measure(case, shape, options.rounds, options.calls) for case in cases(shape)]
    show(results, shape, console.print)
    path = scripts.write(
        options.json,
        "small",
        shape=shape,
        calls=options.calls,
        missing=missing,
        results=[_plain(r) for r in results],
    )
    console.print(f"written: {path}", highlight=False)
    return 0


def _plain(result: Result) -> dict[str, Any]:
    must = MUSTS.get(result.what)
    return {
        **asdict(result),
        "us": result.us("philinit"),
        "peer_us": result.us("peer"),
        "times_as_fast": result.faster,
        "figure": result.figure,
        "must": None if must is None else asdict(must),
        "reached": result.reached,
    }


if __name__ == "__main__":
    sys.exit(main())
