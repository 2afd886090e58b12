# SPDX-License-Identifier: Apache-2.0
"""`philinit show`: fans, bounds, moments and a histogram of what an initializer draws."""

import math
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from philinit.cli.console import facts, open_console, say
from philinit.cli.console import show as show_table
from philinit.cli.help import Command
from philinit.cli.options import (
    Count,
    InitializerName,
    Shape,
    dtype_option,
    initializer_options,
    json_option,
    make_initializer,
    plot_option,
    write_json,
)
from philinit.distributions import Distribution, TruncatedNormal, Uniform
from philinit.initializers import VarianceScaling
from philinit.initializers.base import Initializer
from philinit.tools.measure.machine import free_memory
from philinit.tools.measure.theory import Moments
from philinit.tools.show.looks import Look, look

MOMENTS = Moments._fields
SPENT = 40  # bytes of memory for each weight, of which most go into finding equal ones
ROWS = 6  # height of the histogram in lines


DETAILS = """INITIALIZER is a name such as he_normal or HeNormal. "expected" is exact, "observed" is
measured, and z is their difference in standard errors.
"""


@click.command(
    cls=Command,
    examples=[
        "philinit show he_normal --shape 3,3,256,512 --activation relu",
        "philinit show glorot_uniform --shape 1e6,64 --dtype bfloat16 --plot glorot.png",
        "philinit show truncated_normal --shape 1000 --param stddev=0.1 --param upper=3",
    ],
    details=DETAILS,
    exit_codes={
        0: "The weights are as expected.",
        1: "mean or stddev has |z| > 4.5, or a weight lies outside the interval.",
    },
)
@click.argument("initializer", type=InitializerName())
@click.option(
    "--shape",
    type=Shape(),
    required=True,
    help="Shape of the whole tensor, such as 3,3,256,512 or 1e6,64.",
)
@dtype_option
@click.option(
    "--activation",
    metavar="NAME",
    help="Use the gain of this activation, such as relu; short for --param activation=NAME.",
)
@initializer_options("Integer that decides the weights.", default_seed=42)
@click.option(
    "--weights",
    "limit",
    metavar="COUNT",
    type=Count(),
    default="1e7",
    show_default=True,
    help="Draw at most this many: of a larger tensor, the first ones.",
)
@plot_option("Draw the histogram and the exact density: a .png or .svg file.")
@json_option
@click.pass_context
def show(
    ctx: click.Context,
    initializer: str,
    shape: tuple[int, ...],
    dtype: str,
    activation: str | None,
    seed: int,
    sampler: str,
    names: tuple[str, ...],
    parameters: dict[str, Any],
    limit: int,
    plot: Path | None,
    json_path: Path | None,
) -> None:
    """Show what INITIALIZER draws for a tensor: fans, gain, bounds, moments and a histogram."""
    if activation is not None:
        parameters = {**parameters, "activation": activation}
    init = make_initializer(initializer, seed, sampler, names, parameters)
    if plot is not None:
        try:
            from philinit.tools.show import pictures
        except ImportError as error:
            raise click.ClickException(str(error)) from error
    need, free = min(math.prod(shape), limit) * SPENT, free_memory()
    if need > free:
        much = f"{_bytes(need)} of memory, and {_bytes(free)} are free"
        raise click.ClickException(f"this needs {much}: ask for fewer with --weights")
    try:
        found = look(init, shape, dtype, limit)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise click.UsageError(str(error)) from error
    console = open_console(json_path)
    facts(console, type(init).__name__, _facts(found))
    if found.distinct > 1:
        _print_moments(console, found)
        _print_histogram(console, found)
    if found.off:
        say(console, f"off by more than chance: {', '.join(found.off)}", "failed")
    if plot is not None:
        pictures.draw(found, plot)
        say(console, f"written: {plot}")
    if json_path is not None:
        write_json(json_path, _document(found), console)
    ctx.exit(1 if found.off else 0)


def _facts(look: Look) -> list[tuple[str, str]]:
    init, size = look.init, math.prod(look.shape)
    shape = " x ".join(f"{n:,}" for n in look.shape)
    tensor = f"{shape} = {size:,} weights" if len(look.shape) > 1 else f"{shape} weights"
    found = [
        ("initializer", _first_line(init)),
        ("in Python", repr(init)),
        ("tensor", f"{tensor}, {_bytes(size * look.dtype.itemsize)}"),
    ]
    if look.weights.size < size:
        found.append(("drawn", f"the first {look.weights.size:,} of them"))
    if isinstance(init, VarianceScaling) and look.fans is not None:
        found.append(("fans", "fan_in {:,}, fan_out {:,}".format(*look.fans)))
        found.append(("gain", f"{math.sqrt(init.scale):.6g}, by {_gain_source(init)}"))
    if look.distribution is not None:
        found.append(("distribution", _in_words(look.distribution)))
        found += _interval(look)
    if look.levels is not None:
        text = f"tensorflow: {look.levels:,} levels, whose mean is half a level low"
        found.append(("sampler", text))
    if look.distinct == 1:
        found.append(("value", f"{look.smallest:.6g}, for every weight"))
    else:
        text = f"{look.distinct:,} distinct"
        if look.repeated:
            share = f"{look.repeated:.3g}" if look.repeated < 0.01 else f"{look.repeated:.1%}"
            text += f"; {share} of the weights equal another one"
        found.append(("values", text))
    return found


def _first_line(init: Initializer) -> str:
    return (type(init).__doc__ or "").partition("\n")[0].replace("`", "").rstrip(".")


def _gain_source(init: VarianceScaling) -> str:
    activation = getattr(init, "activation", None)
    if activation is not None:
        return f"activation {activation}"
    if type(init) is VarianceScaling:
        return f"scale {init.scale:.6g}, mode {init.mode}"
    return "gain" if getattr(init, "gain", None) is not None else "default"


def _in_words(distribution: Distribution) -> str:
    if isinstance(distribution, Uniform):
        if distribution.low == -distribution.high:
            return f"uniform, limit {distribution.high:.6g}"
        return f"uniform from {distribution.low:.6g} to {distribution.high:.6g}"
    mean = f" around {distribution.mean:.6g}" if distribution.mean else ""
    words = f"normal{mean}, stddev {distribution.stddev:.6g}"
    if isinstance(distribution, TruncatedNormal):
        words += f", truncated at {distribution.lower:+g} and {distribution.upper:+g} stddev"
    return words


def _interval(look: Look) -> list[tuple[str, str]]:
    assert look.distribution is not None
    assert look.interval is not None
    low, high = look.distribution.support()
    if math.isinf(low) and math.isinf(high):
        return [("interval", "unbounded")]
    left = "(" if math.isinf(low) else "["
    right = ")" if math.isinf(high) or isinstance(look.distribution, Uniform) else "]"
    exact = f"{left}{low!r}, {high!r}{right}"
    least, most = look.interval
    return [("interval", exact), (f"as {look.dtype.name}", f"{least!r} to {most!r}")]


def _bytes(count: int) -> str:
    for unit, size in (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} bytes"


def _print_moments(console: Console, look: Look) -> None:
    columns = ["moments", "expected", "observed", "std. error", "z", "verdict"]
    rows = []
    for name in MOMENTS:
        row = [name, "", f"{getattr(look.observed, name):.6g}", "", "", _verdict(look, name)]
        if look.expected is not None and look.errors is not None and look.z is not None:
            row[1] = f"{getattr(look.expected, name):.6g}"
            row[3] = f"{getattr(look.errors, name):.2g}"
            row[4] = f"{getattr(look.z, name):+.2f}"
        rows.append(row)
    low, high = look.interval or (-math.inf, math.inf)
    for name, bound, found in (("min", low, look.smallest), ("max", high, look.largest)):
        wanted = "" if math.isinf(bound) else f"{bound:.6g}"
        rows.append([name, wanted, f"{found:.6g}", "", "", _verdict(look, name)])
    kept = [i for i, _ in enumerate(columns) if any(row[i] for row in rows)]
    title = "Compared with theory" if look.expected is not None else "Observed"
    show_table(console, title, [columns[i] for i in kept], [[r[i] for i in kept] for r in rows])


def _verdict(look: Look, name: str) -> str:
    return "[failed]off[/failed]" if name in look.off else ""


def _print_histogram(console: Console, look: Look) -> None:
    """Columns of block characters, in eighths of a line; on a terminal without them, of #."""
    edges, counts = look.histogram(min(console.width - 4, 72))
    blocks = " #" if console.options.ascii_only else " ▁▂▃▄▅▆▇█"
    steps = len(blocks) - 1
    heights = counts / (edges[1:] - edges[:-1])
    levels = [round(float(height) * ROWS * steps) for height in heights / heights.max()]
    for row in reversed(range(ROWS)):
        line = "".join(blocks[min(max(level - row * steps, 0), steps)] for level in levels)
        say(console, f"  {line.rstrip()}")
    left, right = f"{edges[0]:.4g}", f"{edges[-1]:.4g}"
    say(console, f"  {left}{right.rjust(max(len(levels) - len(left), len(right) + 1))}", "aside")


def _document(look: Look) -> dict[str, Any]:
    """Everything printed, as numbers."""
    edges, counts = look.histogram(72)
    fans = look.fans
    moments = {"expected": look.expected, "standard errors": look.errors, "z": look.z}
    return {
        "initializer": type(look.init).__name__,
        "config": look.init.get_config(),
        "shape": look.shape,
        "dtype": look.dtype.name,
        "drawn": look.weights.size,
        "fans": None if fans is None else {"fan_in": fans[0], "fan_out": fans[1]},
        "distribution": None if look.distribution is None else _described(look.distribution),
        "interval": look.interval,
        "observed": {**look.observed._asdict(), "min": look.smallest, "max": look.largest},
        **{name: None if m is None else m._asdict() for name, m in moments.items()},
        "off": look.off,
        "distinct values": look.distinct,
        "share of repeated weights": look.repeated,
        "histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
    }


def _described(distribution: Distribution) -> dict[str, Any]:
    return {"kind": type(distribution).__name__, **vars(distribution)}
