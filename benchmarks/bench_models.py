# SPDX-License-Identifier: Apache-2.0
"""Whole torch models in the memory that they have: nn.init code beside philinit.

    python benchmarks/bench_models.py [--quick] [--max-params 2**31] [--rounds N] [--json PATH]

Two questions. What does `accelerate` make of a transformer's ``model.apply(init_weights)`` as it
is, 12 layers of GPT-2's? And what does filling by names take for GPT-2 XL, 1.5 billion parameters
(fewer layers where --max-params or memory say so), over the same loop with nn.init? Ratios are of
medians within one run, contenders in turns; pages have been written before. That mean and stddev
of every tensor are right is asserted before anything is timed. Writes JSON with every single time,
prints a table. Exit code 0 whatever was reached.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import torch

import philinit as pi
import philinit.torch as pt
import scripts
from model_results import CONTEXT, SMALL, STDDEV, TRUNCATED, VOCABULARY, Result, rows, show, sizes
from philinit.tools.measure.clock import Call, in_turns
from philinit.tools.measure.machine import free_memory

CONTENDERS = ("torch", "philinit")


# ---------------------------------------------------------------------------- the model


class Block(torch.nn.Module):  # type: ignore[misc]  # torch is Any here
    """The parameters of one of GPT-2's layers, 12 width**2 of them in matrices."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = torch.nn.LayerNorm(width), torch.nn.LayerNorm(width)
        self.attn, self.proj = torch.nn.Linear(width, 3 * width), torch.nn.Linear(width, width)
        self.up, self.down = torch.nn.Linear(width, 4 * width), torch.nn.Linear(4 * width, width)


class GPT2(torch.nn.Module):  # type: ignore[misc]  # as above
    """The parameters of GPT-2, whose head is its embedding."""

    def __init__(self, width: int, layers: int, vocabulary: int) -> None:
        super().__init__()
        self.wte = torch.nn.Embedding(vocabulary, width)
        self.wpe = torch.nn.Embedding(CONTEXT, width)
        self.h = torch.nn.ModuleList(Block(width) for _ in range(layers))
        self.ln_f = torch.nn.LayerNorm(width)


def made(width: int, layers: int, vocabulary: int = VOCABULARY) -> Any:
    """A model with memory that nobody has written yet."""
    with pt.parameters_on_meta():
        model = GPT2(width, layers, vocabulary)
    return model.to_empty(device="cpu")


def init_weights(module: Any) -> None:
    """As transformers' models have it, as `_init_weights`."""
    if isinstance(module, torch.nn.Linear):
        module.weight.data.normal_(mean=0.0, std=STDDEV)
        module.bias.data.zero_()
    elif isinstance(module, torch.nn.Embedding):
        module.weight.data.normal_(mean=0.0, std=STDDEV)
    elif isinstance(module, torch.nn.LayerNorm):
        module.bias.data.zero_()
        module.weight.data.fill_(1.0)


def matrices(model: Any) -> list[tuple[str, Any]]:
    """The weights that are drawn, with their names."""
    return [(name, p) for name, p in model.named_parameters() if p.dim() == 2]


def assert_drawn(what: str, model: Any, stddev: float) -> None:
    """Mean and stddev of each matrix, within 6 standard errors."""
    for name, weight in matrices(model):
        error = 6 * stddev / math.sqrt(weight.numel())
        if not (abs(weight.mean()) < error and abs(weight.std() - stddev) < error):
            raise AssertionError(f"{what}: {name} has other moments than it should")


# ---------------------------------------------------------------------------- what is measured


def measured(
    what: str, model: Any, calls: dict[str, Call], stddev: float, bound: float, rounds: int
) -> Result:
    """Both contenders, checked, then in turns."""
    for name, call in calls.items():
        with torch.no_grad():
            for _, weight in matrices(model):
                weight.fill_(math.nan)
        call()
        assert_drawn(f"{what}, {name}", model, stddev)
    weights = sum(p.numel() for p in model.parameters())
    return Result(what, weights, in_turns(calls, rounds), bound)


def unchanged(model: Any, rounds: int) -> Result:
    """``model.apply(init_weights)``, without and with `accelerate`."""

    def accelerated() -> None:
        with pt.accelerate(seed=1, named=model):
            model.apply(init_weights)

    calls = {CONTENDERS[0]: lambda: model.apply(init_weights), CONTENDERS[1]: accelerated}
    return measured("unchanged init_weights, 12 layers", model, calls, STDDEV, 8.0, rounds)


def filled(layers: int, model: Any, rounds: int) -> list[Result]:
    """Loops over all matrices: torch.nn.init, and `fill_` by names."""
    limit = math.sqrt(3.0) * STDDEV
    nn_init = torch.nn.init
    kinds: list[tuple[str, Callable[[Any], Any], Any, float, float]] = [
        (
            "uniform_",
            lambda w: nn_init.uniform_(w, -limit, limit),
            pi.Uniform(-limit, limit, seed=1),
        )
        + (STDDEV, 10.0),
        ("normal_", lambda w: nn_init.normal_(w, 0.0, STDDEV), pi.Normal(stddev=STDDEV, seed=1))
        + (STDDEV, 10.0),
        (
            "trunc_normal_ at 2 stddev",
            lambda w: nn_init.trunc_normal_(w, 0.0, STDDEV, -2 * STDDEV, 2 * STDDEV),
            pi.TruncatedNormal(stddev=STDDEV, seed=1),
        )
        + (TRUNCATED, 100.0),
    ]
    results = []
    for name, own, init, stddev, bound in kinds:

        def theirs(own: Any = own) -> None:
            for _, weight in matrices(model):
                own(weight)

        def ours(init: Any = init) -> None:
            for path, weight in matrices(model):
                pt.fill_(weight, init.named(path))

        calls: dict[str, Call] = {CONTENDERS[0]: theirs, CONTENDERS[1]: ours}
        what = f"GPT-2 XL, {layers} of 48 layers, {name}"
        results.append(measured(what, model, calls, stddev, bound, rounds))
    return results


# ---------------------------------------------------------------------------- the report


def main(arguments: list[str] | None = None) -> int:
    """Measure, write JSON, print."""
    parser = scripts.measuring(__doc__, "at most 2**27 weights, three rounds")
    parser.add_argument("--max-params", type=scripts.count, help="weights of the larger model")
    options = parser.parse_args(arguments)
    most = options.max_params or (1 << 27 if options.quick else 1 << 31)
    most = min(most, free_memory() // 6)  # bytes; torch's truncated normal needs room beside it
    rounds = options.rounds or (3 if options.quick else 5)
    console = scripts.console()
    model = made(64, 12, 1000) if most < SMALL else made(768, 12)
    results = [unchanged(model, rounds)]
    del model
    width, layers, vocabulary = sizes(most)
    results += filled(layers, made(width, layers, vocabulary), rounds)
    show(console, results)
    figures = [{**row, "threads": threads()} for row in rows(results)]
    path = scripts.write(options.json, "models", torch=figures)
    console.print(f"written: {path}", highlight=False)
    return 0


def threads() -> int:
    """Those that torch may use; philinit takes all CPUs of the process."""
    return int(torch.get_num_threads())


if __name__ == "__main__":
    sys.exit(main())
