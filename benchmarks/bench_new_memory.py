# SPDX-License-Identifier: Apache-2.0
"""New tensors, each on pages mapped anew: philinit in each library, the library itself, memset.

    python benchmarks/bench_new_memory.py [--quick] [--size 2**28] [--rounds 9] [--json PATH]

A training script makes each of its weights once, in memory that its process has never written. Here
everybody makes one uniform float32 tensor in [-0.05, 0.05) over and over, frees it, and gets new
pages for the next: TensorFlow without oneDNN's pool, which would keep them. memset writes a new
ndarray, which NumPy puts on huge pages where there are such, by as many threads. One process,
contenders of a library in turns with memset; the library itself, which is slow, in the first rounds
only. Before that each makes one tensor more, whose numbers are held against theory and whose pages
are looked at. Before each call as much memory is written and given back: the host of a virtual
machine takes free pages, and its time for handing them out again is nobody's. A ratio is one of
medians; a share of memset's rate counts as no more than that of best rounds. Writes
JSON with every single time, prints the ratios beside what they must be. Exit code 0 whatever was
reached.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

# Read when the libraries are imported.
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=2")

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

import philinit as pi
import ratios
import scripts
from philinit.filling.memory import address, empty
from philinit.tools.bench.calls import weights_of
from philinit.tools.bench.contenders import CONTENDERS
from philinit.tools.bench.timings import check
from philinit.tools.bench.workloads import Work
from philinit.tools.measure.clock import Call, in_turns
from philinit.tools.measure.machine import cpus
from philinit.tools.measure.memory import huge_share, memset, warm_pages

COLUMNS = 1024
ENDS = (-0.05, 0.05)
INIT = pi.Uniform(*ENDS, seed=42)
PEER_ROUNDS = 3  # the libraries themselves: seconds each
TENSORS = 3  # as much memory as a library takes for one


@dataclass(frozen=True)
class Contender:
    """Who makes the tensor, and how.

    kind: its name in `philinit.tools.bench`, which knows how exact its numbers are.
    """

    title: str
    kind: str
    call: Call

    @property
    def peer(self) -> bool:
        """Whether it is somebody else's."""
        return CONTENDERS[self.kind].peer


@dataclass(frozen=True)
class Result:
    """Seconds of each round, and those of memset in turns with it."""

    library: str
    title: str
    peer: bool
    seconds: list[float]
    memset: list[float]
    peers: list[float]  # of the library itself
    huge: float | None  # share of the tensor on huge pages

    @property
    def share(self) -> float:
        """Of memset's rate: medians."""
        return median(self.memset) / median(self.seconds)

    @property
    def best(self) -> float:
        """The same of best rounds."""
        return min(self.memset) / min(self.seconds)

    @property
    def times(self) -> float:
        """How many times as fast as the library itself: medians."""
        return median(self.peers) / median(self.seconds)


# ---------------------------------------------------------------------------- who


def _tensorflow(shape: tuple[int, int]) -> Iterator[Contender]:
    import tensorflow as tf

    import philinit.tensorflow as pit

    def small() -> Any:
        os.environ["PHILINIT_HUGE_PAGES"] = "0"
        try:
            return pit.variable(INIT, shape)
        finally:
            del os.environ["PHILINIT_HUGE_PAGES"]

    own = "philinit, tf.Variable"
    yield Contender("pit.variable", own, lambda: pit.variable(INIT, shape))
    yield Contender("the same, PHILINIT_HUGE_PAGES=0", own, small)
    peer = lambda: tf.Variable(tf.random.uniform(shape, *ENDS))  # noqa: E731
    yield Contender("tf.Variable(tf.random.uniform)", "tf.random", peer)


def _keras(shape: tuple[int, int]) -> Iterator[Contender]:
    import keras

    import philinit.keras as pk

    def layer(initializer: Any) -> Any:
        embedding = keras.layers.Embedding(*shape, embeddings_initializer=initializer)
        embedding.build()
        return embedding.embeddings.value

    exact, native = (
        pk.RandomUniform(*ENDS, seed=42, sampler=sampler) for sampler in ("tensorflow", "native")
    )
    theirs = keras.initializers.RandomUniform(*ENDS, seed=42)
    bits = "philinit, TensorFlow's bits"
    yield Contender("Embedding, pk.RandomUniform", bits, lambda: layer(exact))
    yield Contender("the same, native", "philinit", lambda: layer(native))
    yield Contender("Embedding, Keras's RandomUniform", "Keras", lambda: layer(theirs))


def _torch(shape: tuple[int, int]) -> Iterator[Contender]:
    import torch

    import philinit.torch as pt

    def made() -> Any:
        with torch.device("meta"):
            module = torch.nn.Embedding(*shape)
        return pt.materialize(module, {"*": INIT}).weight

    peer = lambda: torch.nn.init.uniform_(torch.empty(shape), *ENDS)  # noqa: E731
    yield Contender("pt.materialize of an Embedding", "philinit", made)
    yield Contender("torch.nn.init.uniform_", "torch", peer)


def _jax(shape: tuple[int, int]) -> Iterator[Contender]:
    import jax
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    import philinit.jax as pij

    mesh = Mesh(np.array(jax.devices()), ("x",))
    rows = NamedSharding(mesh, PartitionSpec("x"))
    key, draw = jax.random.key(42), jax.random.uniform
    jitted = jax.jit(lambda key: draw(key, shape, minval=ENDS[0], maxval=ENDS[1]))
    yield Contender("pij.array", "philinit", lambda: pij.array(INIT, shape))
    yield Contender("pij.sharded", "philinit", lambda: pij.sharded(INIT, shape, rows))
    yield Contender("jax.random.uniform, jitted", "JAX", lambda: jitted(key).block_until_ready())


LIBRARIES: dict[str, Callable[[tuple[int, int]], Iterator[Contender]]] = {
    "TensorFlow": _tensorflow,
    "Keras": _keras,
    "torch": _torch,
    "JAX": _jax,
}


# ---------------------------------------------------------------------------- measuring


def library(name: str, work: Work, rounds: int) -> list[Result]:
    """philinit in one library, the library itself, and memset, in turns."""
    contenders = list(LIBRARIES[name](work.shape))  # type: ignore[arg-type]
    (peer,) = [contender.title for contender in contenders if contender.peer]
    huge = {contender.title: _first(contender, work) for contender in contenders}
    calls: dict[str, Call] = {
        "memset": lambda: memset(empty((work.nbytes,), np.dtype(np.uint8)), cpus())
    }
    calls["memset"]()
    calls |= {contender.title: contender.call for contender in contenders}
    fast = {title: call for title, call in calls.items() if title != peer}

    def warm() -> None:
        gc.collect()  # some tensors are freed by the collector alone
        warm_pages(TENSORS * work.nbytes)

    times = in_turns(calls, min(PEER_ROUNDS, rounds), before=warm)
    for title, more in in_turns(fast, rounds - PEER_ROUNDS, before=warm).items():
        times[title] += more
    return [
        Result(name, c.title, c.peer, times[c.title], times["memset"], times[peer], huge[c.title])
        for c in contenders
    ]


def _first(contender: Contender, work: Work) -> float | None:
    """Make the first tensor, and check it; the share of it that is on huge pages."""
    made = contender.call()
    check(CONTENDERS[contender.kind], work, made)
    shards = getattr(made, "addressable_shards", None)
    memory = weights_of(shards[0].data if shards else made)
    return huge_share(address(memory), memory.nbytes)


def free_huge_pages() -> int | None:
    """Bytes that the system has free in pieces of 2 MiB or more; None where it does not tell."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/buddyinfo").read_text("ascii").splitlines()
        counts = (map(int, line.split("zone")[1].split()[1:]) for line in lines)
        return sum(
            (count << order) * os.sysconf("SC_PAGE_SIZE")
            for zone in counts
            for order, count in enumerate(zone)
            if os.sysconf("SC_PAGE_SIZE") << order >= 2 << 20
        )
    return None


# ---------------------------------------------------------------------------- the report


def show(console: Console, results: list[Result]) -> None:
    """One row a contender."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("", no_wrap=True)
    for column in ("ms", "best", "of memset", "best", "x", "best", "huge pages"):
        table.add_column(column, justify="right", no_wrap=True)
    for r in results:
        table.add_row(
            r.title,
            f"{median(r.seconds) * 1e3:.0f}",
            f"{min(r.seconds) * 1e3:.0f}",
            f"{r.share:.2f}",
            f"{r.best:.2f}",
            "" if r.peer else f"{r.times:.1f}",
            "" if r.peer else f"{min(r.peers) / min(r.seconds):.1f}",
            "" if r.huge is None else f"{r.huge:.0%}",
        )
    console.print(table)
    console.print(
        "ms: a new tensor on new pages, median and best round. of memset: its rate on new huge "
        "pages. x: how many times as fast as the library itself.",
        style="dim",
        highlight=False,
    )


def main(arguments: list[str] | None = None) -> int:
    """Measure, write JSON, print."""
    parser = scripts.measuring(__doc__, "2**24 weights, five rounds")
    parser.add_argument("--size", type=scripts.count, help="weights")
    parser.add_argument("--library", action="append", choices=LIBRARIES, help="may be repeated")
    options = parser.parse_args(arguments)
    size = options.size or (1 << 24 if options.quick else 1 << 28)
    rounds = options.rounds or (5 if options.quick else 9)
    work = Work("uniform", (max(2, size // COLUMNS), COLUMNS), ENDS)
    console = scripts.console()
    started, free = time.perf_counter(), free_huge_pages()
    if free is not None:
        words = f"{free / 2**30:.1f} GiB are free in pieces of 2 MiB or more"
        console.print(f"{words}; the tensor has {work.nbytes / 2**30:.3g} GiB", highlight=False)
    results, missing = [], {}
    for name in options.library or LIBRARIES:
        console.print(f"{time.perf_counter() - started:6.1f} s  {name}", highlight=False)
        try:
            results += library(name, work, rounds)
        except ImportError as error:
            missing[name] = str(error)
            console.print(f"{name}: left out: {error}", style="yellow", highlight=False)
    show(console, results)
    rows = [{**asdict(r), "share": r.share, "best": r.best, "times": r.times} for r in results]
    figures = {"weights": work.size, "free_huge_bytes": free, "left_out": missing}
    ratios.show(ratios.new_memory({"results": rows}), console.print)
    path = scripts.write(options.json, "new-memory", **figures, results=rows)
    console.print(f"written: {path}", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
