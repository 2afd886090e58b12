# SPDX-License-Identifier: Apache-2.0
"""`philinit verify`: a file of weights against what it began as, and which rows still are that."""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.markup import escape

from philinit.cli.console import open_console, say, show, with_bar
from philinit.cli.help import Command
from philinit.cli.options import (
    InitializerName,
    initializer_options,
    json_option,
    threads_option,
    write_json,
)
from philinit.cli.spec import (
    DESCRIBING,
    SPEC_HELP,
    FileSeed,
    make_tensor,
    read_spec,
    refuse_typed,
    spec_option,
)
from philinit.files.layouts import stored
from philinit.files.tensors import Tensor
from philinit.files.unfinished import amount
from philinit.files.verify import Comparison, Difference, ranges, verify_file

SHOWN = 8  # ranges of rows; --json and --rows-out have all

HELP = """Compare a file with the weights it started from, bit by bit.

PATH is a .npy file, which --init describes, or a .safetensors file, which --spec describes. Prints
how many elements differ, and the first of them; for a table also which rows are unchanged: the
rows of an embedding that were never trained.
"""

DETAILS = f"""{SPEC_HELP}
A .npy file of two-byte items without a name ("<V2") is read as bfloat16.
"""


@click.command(
    cls=Command,
    help=HELP,
    examples=[
        "philinit verify w.npy --init glorot_uniform --seed 7",
        "philinit verify trained.npy --init normal --param stddev=0.02 --seed 7 "
        "--rows-out never-trained.txt",
        "philinit verify model.safetensors --spec spec.json --seed 7 --tensor embed",
    ],
    details=DETAILS,
    exit_codes={
        0: "Every bit is equal.",
        1: "Something is different.",
        2: "The command was not understood, or the file cannot be read.",
    },
)
@click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--init", type=InitializerName(), help="Initializer of a .npy file.")
@initializer_options("Integer that decided the weights.")
@spec_option
@click.option(
    "--tensor",
    "wanted",
    metavar="NAME",
    multiple=True,
    help="Compare only this tensor. Repeatable.",
)
@click.option(
    "--rows-out",
    metavar="PATH",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write the numbers of the rows that are unchanged to this file, one per line.",
)
@threads_option
@json_option
@click.pass_context
def verify(
    ctx: click.Context,
    /,
    path: Path,
    wanted: tuple[str, ...],
    rows_out: Path | None,
    threads: int | None,
    json_path: Path | None,
    **described: Any,
) -> None:
    """As `HELP` says."""
    console = open_console(json_path)
    try:
        tensors = _tensors(ctx, path, wanted, **described)
        tables = [tensor for tensor in tensors if len(tensor.shape) == 2]
        if rows_out is not None and len(tables) != 1:
            raise click.UsageError(
                f"--rows-out is for one table of 2 axes; got {len(tables)}: choose with --tensor"
            )
        start = time.perf_counter()
        results = with_bar(console, path, verify_file, tensors, threads=threads)
        seconds = time.perf_counter() - start
    except (TypeError, ValueError, OSError, MemoryError) as error:
        raise click.UsageError(str(error)) from error
    _print(console, path, results, seconds)
    if rows_out is not None:
        (result,) = (r for r in results if r.tensor is tables[0])
        _write_rows(console, rows_out, result)
    equal = all(result.equal for result in results)
    if json_path is not None:
        entries = [_entry(result) for result in results]
        document = {"path": str(path), "equal": equal, "seconds": seconds, "tensors": entries}
        write_json(json_path, document, console)
    ctx.exit(0 if equal else 1)


def _tensors(
    ctx: click.Context,
    /,
    path: Path,
    wanted: Sequence[str],
    init: str | None,
    seed: int | None,
    spec: Path | None,
    **one: Any,
) -> list[Tensor]:
    """What the file should hold, from the options, or from the spec."""
    there = stored(path)
    if path.suffix == ".npy":
        if spec is not None or wanted or init is None:
            raise click.UsageError("a .npy file needs --init, and takes no --spec and no --tensor")
        (own,) = there
        tensors = [
            make_tensor("", FileSeed(seed), init=init, shape=own.shape, dtype=own.dtype, **one)
        ]
    else:
        if spec is None:
            raise click.UsageError("a .safetensors file needs --spec")
        refuse_typed(ctx, DESCRIBING, "belongs in the spec, for each tensor")
        tensors = read_spec(spec, lambda name: FileSeed(seed))
        names = {tensor.name for tensor in tensors}
        for name in wanted:
            if name not in names:
                raise click.UsageError(f"--tensor must name a tensor of the spec; got {name}")
        tensors = [tensor for tensor in tensors if not wanted or tensor.name in wanted]
    if any(getattr(tensor.init, "from_entropy", False) for tensor in tensors):
        raise click.UsageError("--seed is needed: it decided the weights")
    return tensors


# ---------------------------------------------------------------------------- what is printed


def _print(console: Console, path: Path, results: list[Comparison], seconds: float) -> None:
    nbytes = sum(r.tensor.nbytes for r in results if not r.problem)
    what = f"{amount(nbytes)} in {seconds:.2f} s"
    unlike = [result for result in results if not result.equal]
    if not unlike:
        say(console, f"equal: every bit of {path.name}, {what}", "ok")
        return
    show(
        console,
        f"{path.name} compared with its initial weights: {what}",
        ["tensor", "elements", "different", "share", "rows", "rows equal", "share"],
        [_row(path, result) for result in results],
    )
    for result in unlike:
        name = result.tensor.name or path.name
        if result.problem:
            say(console, f"{name}: {result.problem}", "failed")
        if result.first is not None:
            say(console, f"{name}: {_sentence(result.first, result.tensor.dtype)}", "failed")
        if result.changed is not None and not result.problem:
            say(console, f"{name}: unchanged rows: {_listed(_equal_rows(result))}")


def _row(path: Path, result: Comparison) -> list[str]:
    size = result.tensor.size
    cells = [escape(result.tensor.name or path.name), f"{size:,}"]
    cells += (
        ["-", ""] if result.problem else [f"{result.different:,}", _share(result.different, size)]
    )
    if result.changed is None or result.problem:
        return [*cells, "", "", ""]
    rows, changed = result.changed.size, int(np.count_nonzero(result.changed))
    return [*cells, f"{rows:,}", f"{rows - changed:,}", _share(rows - changed, rows)]


def _share(part: int, whole: int) -> str:
    """A percentage that says 0 and 100 only where it is exactly that."""
    if part in (0, whole):
        return "100%" if part else "0%"
    return f"{min(max(100 * part / whole, 0.01), 99.99):.2f}%"


def _sentence(first: Difference, dtype: np.dtype[Any]) -> str:
    expected, found = (str(dtype.type(value)) for value in (first.expected, first.found))
    if first.ulps is None:
        apart = "one is NaN"
    elif first.ulps == 0:
        apart = "zeros of different sign"
    else:
        apart = f"{first.ulps:,} ulp{'' if first.ulps == 1 else 's'} apart"
    return (
        f"first difference at {list(first.index)}: expected {expected} "
        f"({first.expected_bits}), found {found} ({first.found_bits}), {apart}"
    )


def _equal_rows(result: Comparison) -> np.ndarray[Any, Any]:
    assert result.changed is not None  # for a table of 2 axes
    return np.flatnonzero(~result.changed)


def _listed(rows: np.ndarray[Any, Any]) -> str:
    found = ranges(rows)
    shown = [str(a) if a == b else f"{a}-{b}" for a, b in found[:SHOWN]]
    more = f" and {len(found) - SHOWN:,} more ranges" if len(found) > SHOWN else ""
    return (", ".join(shown) or "none") + more


def _write_rows(console: Console, path: Path, result: Comparison) -> None:
    if result.problem:
        say(console, f"not written: {path}, because the table could not be compared", "failed")
        return
    np.savetxt(path, _equal_rows(result), fmt="%d")
    say(console, f"written: {path}")


def _entry(result: Comparison) -> dict[str, Any]:
    """A comparison as JSON has it."""
    known = not result.problem and result.changed is not None
    rows = _equal_rows(result) if known else np.empty(0, np.intp)
    return {
        **result.tensor.describe(),
        "equal": result.equal,
        "problem": result.problem or None,
        "different": result.different,
        "first": None if result.first is None else dataclasses.asdict(result.first),
        "rows": result.tensor.shape[0] if known else None,
        "rows_equal": rows.size if known else None,
        "equal_rows": ranges(rows) if known else None,
    }
