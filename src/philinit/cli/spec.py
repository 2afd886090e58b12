# SPDX-License-Identifier: Apache-2.0
"""From options, or from a JSON spec, to the tensors of a file: for `fill` and `verify`."""

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click
from click.core import ParameterSource

from philinit.checks import one_of, shown
from philinit.cli.options import InitializerName, make_initializer
from philinit.dtypes import NAMES, as_dtype
from philinit.files.tensors import Tensor
from philinit.initializers.base import Initializer
from philinit.initializers.seeded import Seeded

F = TypeVar("F", bound=Callable[..., Any])

SPEC_HELP = """SPEC is a JSON object with an entry for each tensor of a .safetensors file:

\b
  {"embed": {"init": "normal",
             "stddev": 0.02,
             "dtype": "bfloat16",
             "shape": [50257, 768]},
   "head": {"init": "glorot_uniform",
            "shape": [768, 10],
            "seed": 7}}

"init" and "shape" are required. "dtype", "sampler" and "names" work like --dtype, --sampler and
--name; other keys are parameters of the initializer. A tensor without "seed" and "names" uses
--seed and its own name, as init.named(name) does, so that no two tensors share numbers.
"""

# The options that describe the one tensor of a .npy file, by their arguments.
DESCRIBING = {
    "init": "--init",
    "shape": "--shape",
    "dtype": "--dtype",
    "sampler": "--sampler",
    "names": "--name",
    "parameters": "--param",
}


class FileSeed(NamedTuple):
    """The seed of tensors that have none of their own, and whether it was drawn."""

    seed: int | None
    from_entropy: bool = False


SeedFor = Callable[[str], FileSeed]  # by the name of the tensor


def spec_option(command: F) -> F:
    """``--spec PATH``, for the argument `spec`."""
    return click.option(
        "--spec",
        metavar="SPEC",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="JSON file that describes the tensors of a .safetensors file.",
    )(command)


def refuse_typed(ctx: click.Context, options: Mapping[str, str], why: str) -> None:
    """A click.UsageError if one of these options was typed."""
    for argument, option in options.items():
        if ctx.get_parameter_source(argument) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{option} {why}")


def make_tensor(
    name: str,
    seed: FileSeed,
    *,
    init: str,
    shape: Any,
    dtype: Any = "float32",
    sampler: str = "native",
    names: Sequence[str | int] = (),
    parameters: Mapping[str, Any] | None = None,
) -> Tensor:
    """A tensor as options or an entry of a spec describe it."""
    made: Initializer = make_initializer(init, seed.seed, sampler, names, parameters)
    if seed.from_entropy and isinstance(made, Seeded):
        made = dataclasses.replace(made, from_entropy=True)
    return Tensor(name, made, shape, as_dtype(one_of("dtype", dtype, NAMES)))


def read_spec(path: Path, seed_for: SeedFor) -> list[Tensor]:
    """The tensors of a spec; whatever is wrong with any of them is a click.UsageError."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_once)
    except (OSError, RecursionError, ValueError) as error:
        raise click.UsageError(f"{path.name} must be JSON: {error}") from error
    if not isinstance(entries, dict) or not entries:
        raise click.UsageError(f"{path.name} must be an object with an entry for each tensor")
    tensors = []
    for name, entry in entries.items():
        try:
            tensors.append(_tensor(name, entry, seed_for(name)))
        except click.UsageError as error:
            raise click.UsageError(f"{path.name}, tensor {name!r}: {error.message}") from error
        except (NotImplementedError, RecursionError, TypeError, ValueError) as error:
            raise click.UsageError(f"{path.name}, tensor {name!r}: {error}") from error
    return tensors


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        ((name, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"each name must appear once in an object; {name!r} appears twice")
    return found


def _tensor(name: str, entry: Any, seed: FileSeed) -> Tensor:
    if not isinstance(entry, dict) or not {"init", "shape"} <= set(entry):
        raise ValueError(
            f'each entry must be an object with "init" and "shape"; got {shown(entry)}'
        )
    given = dict(entry)
    own_seed = given.pop("seed", None)
    names = given.pop("names", [name] if own_seed is None else [])
    if not isinstance(names, list) or not isinstance(given["init"], str):
        raise TypeError(f'"names" must be a list and "init" a string; got {shown(entry)}')
    if own_seed is not None:
        seed = FileSeed(own_seed)
    init = InitializerName().convert(given.pop("init"), None, None)
    own = {key: given.pop(key) for key in ("shape", "dtype", "sampler") if key in given}
    return make_tensor(name, seed, init=init, names=names, parameters=given, **own)
