# SPDX-License-Identifier: Apache-2.0
"""Options that several commands have: --json, counts, shapes, dtypes, and an initializer."""

import ast
import dataclasses
import functools
import json
import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem
from rich.console import Console

from philinit import initializers as package
from philinit.checks import SAMPLERS, shown
from philinit.cli.console import STDOUT, say
from philinit.dtypes import NAMES
from philinit.initializers.base import Initializer
from philinit.keys import as_seed

if TYPE_CHECKING:
    ParamType = click.ParamType[Any]  # generic in newer versions of click only
else:
    ParamType = click.ParamType

F = TypeVar("F", bound=Callable[..., Any])


# ---------------------------------------------------------------------------- --json


def _check_folder(_: click.Context, __: click.Parameter, path: Path | None) -> Path | None:
    if path is not None and path != STDOUT and not path.absolute().parent.is_dir():
        raise click.BadParameter(f"folder {path.parent} does not exist")
    return path


def json_option(command: F) -> F:
    """``--json [PATH]``, for the argument `json_path`; alone or "-" is stdout, for JSON only."""
    return click.option(
        "--json",
        "json_path",
        metavar="[PATH]",
        is_flag=False,
        flag_value=str(STDOUT),
        type=click.Path(dir_okay=False, writable=True, allow_dash=True, path_type=Path),
        callback=_check_folder,
        help="Print all results as JSON, and nothing else; with PATH, write them to that file.",
    )(command)


def write_json(path: Path, document: Any, console: Console) -> None:
    """`document` as JSON, to a file, which `console` names, or to stdout.

    JSON has no infinity and no NaN: both become null.
    """
    text = json.dumps(_finite(document), indent=2, allow_nan=False) + "\n"
    if path == STDOUT:
        sys.stdout.write(text)
    else:
        path.write_text(text, encoding="utf-8")
        say(console, f"written: {path}")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(v) for name, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def dtype_option(command: F) -> F:
    """``--dtype DTYPE``, for the argument `dtype`."""
    *others, last = NAMES
    return click.option(
        "--dtype",
        metavar="DTYPE",
        type=click.Choice(list(NAMES)),
        default="float32",
        show_default=True,
        help=f"Type of the weights: {', '.join(others)} or {last}.",
    )(command)


def threads_option(command: F) -> F:
    """``--threads N``, for the argument `threads`."""
    kind = click.IntRange(1, 1024)
    text = "Number of CPU threads. Default: one for each CPU."
    return click.option("--threads", metavar="N", type=kind, help=text)(command)


# ---------------------------------------------------------------------------- numbers


class Count(ParamType):
    """A whole number, `least` or more, also written 2e8 or 1_000_000."""

    name = "count"

    def __init__(self, least: int = 1) -> None:
        self.least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number as an int."""
        if isinstance(value, int):
            return value
        digits = value.replace("_", "")
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            self.fail(f"{shown(value)} is not a whole number such as 1000000 or 2e8", param, ctx)
        whole = int(digits) if digits.isdecimal() and number < 1e300 else int(number)
        if whole < self.least or not number.is_integer():
            self.fail(f"must be a whole number, {self.least} or more; got {value}", param, ctx)
        return whole


class Shape(ParamType):
    """Dimensions with commas between them: 3,3,256,512, or 1e6,1000; 10: a vector; (): a scalar."""

    name = "shape"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """The shape as a tuple of ints >= 0."""
        if isinstance(value, tuple):
            return value
        if value.strip() == "()":
            return ()
        if not value.strip():
            self.fail("must be dimensions such as 3,3,256,512; got nothing", param, ctx)
        found = tuple(Count(0).convert(part.strip(), param, ctx) for part in value.split(","))
        if len(found) > 64 or math.prod(n or 1 for n in found) >= 1 << 63:
            few = f"64 dimensions, and less than 2**63 bytes; got {shown(value)}"
            self.fail(f"must be of a tensor that NumPy can hold: at most {few}", param, ctx)
        return found


class Seed(ParamType):
    """A seed: any int in [-2**127, 2**128), also written in hexadecimal."""

    name = "seed"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The seed as an int."""
        try:
            return as_seed(int(value, 0) if isinstance(value, str) else value)
        except ValueError:
            self.fail(f"must be an int in [-2**127, 2**128); got {value}", param, ctx)


def _picture(ctx: click.Context, param: click.Parameter, path: Path | None) -> Path | None:
    if path is not None and path.suffix.lower() not in (".png", ".svg"):
        raise click.BadParameter(f"must end in .png or .svg; got {path}")
    return _check_folder(ctx, param, path)


def plot_option(text: str) -> Callable[[F], F]:
    """``--plot PATH``, for the argument `plot`."""
    kind = click.Path(dir_okay=False, writable=True, path_type=Path)
    return click.option("--plot", metavar="PATH", type=kind, callback=_picture, help=text)


# ---------------------------------------------------------------------------- initializers


@functools.cache
def initializers() -> dict[str, type[Initializer]]:
    """Every initializer of philinit by its name in the command line: "he_normal" -> HeNormal."""
    abstract = (package.Initializer, package.KeyedDistribution)
    return {
        re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower(): kind
        for name, kind in sorted(vars(package).items())
        if isinstance(kind, type) and kind not in abstract
    }


class InitializerName(ParamType):
    """The name of an initializer: he_normal or HeNormal."""

    name = "initializer"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name in small letters."""
        known = {name.replace("_", ""): name for name in initializers()}
        plain = value.replace("_", "").lower()
        if plain not in known:
            self.fail(f"{value!r} is not one of {', '.join(initializers())}", param, ctx)
        return known[plain]

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The names that begin so."""
        return [CompletionItem(name) for name in initializers() if name.startswith(incomplete)]


def _parameters(
    ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]
) -> dict[str, Any]:
    """The values of ``--param key=value``: numbers, tuples and None as Python writes them."""
    found: dict[str, Any] = {}
    for text in texts:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not (equals and key.isidentifier() and value):
            raise click.BadParameter(f"must be key=value, such as gain=1.5; got {text}")
        if key in found:
            raise click.BadParameter(f"must name each key once; got {key} twice")
        try:
            found[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            found[key] = {"inf": math.inf, "-inf": -math.inf}.get(value, value)
    return found


def initializer_options(seed: str, default_seed: int | None = None) -> Callable[[F], F]:
    """--seed, --sampler, --name and --param, as arguments `seed, sampler, names, parameters`.

    `seed` is what the help says of --seed.
    """

    def decorate(command: F) -> F:
        for option in (
            click.option(
                "--param",
                "parameters",
                metavar="KEY=VALUE",
                multiple=True,
                callback=_parameters,
                help="Parameter of the initializer, such as gain=1.5. Repeatable.",
            ),
            click.option(
                "--name",
                "names",
                metavar="NAME",
                multiple=True,
                help="Name of the layer, as in init.named(NAME). Repeatable.",
            ),
            click.option(
                "--sampler",
                metavar="SAMPLER",
                type=click.Choice(SAMPLERS),
                default="native",
                show_default=True,
                help="native, or tensorflow for the numbers that TensorFlow and Keras draw.",
            ),
            click.option(
                "--seed",
                metavar="SEED",
                type=Seed(),
                default=default_seed,
                show_default=True,
                help=seed,
            ),
        ):
            command = option(command)
        return command

    return decorate


def make_initializer(
    name: str,
    seed: int | None,
    sampler: str = "native",
    names: Sequence[str | int] = (),
    parameters: Mapping[str, Any] | None = None,
) -> Initializer:
    """The initializer of these options; a wrong one is a click.UsageError, exit code 2.

    Constants have no seed, sampler or names, and orthogonal no sampler: those are left out there.
    """
    kind = initializers()[name]
    takes = {field.name for field in dataclasses.fields(kind) if field.init} - {"from_entropy"}  # type: ignore[arg-type]
    given = {"seed": seed, "sampler": sampler, "names": tuple(names)}
    values = {key: value for key, value in given.items() if key in takes}
    free = sorted(takes - set(given))
    for key in parameters or {}:
        if key not in free:
            raise click.UsageError(
                f"{name} has no parameter {key!r}; it has {', '.join(free) or 'none'}"
            )
    if sampler != "native" and "sampler" not in takes:
        raise click.UsageError(f"{name} has one sampler only, native; got --sampler {sampler}")
    try:
        return kind(**values, **(parameters or {}))
    except (TypeError, ValueError) as error:
        raise click.UsageError(str(error)) from error
