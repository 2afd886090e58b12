# SPDX-License-Identifier: Apache-2.0
"""`philinit fill`: initial weights of any size, straight to a .npy or .safetensors file."""

import os
import shlex
import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from philinit.cli.console import open_console, say, with_bar
from philinit.cli.group import say_interrupted
from philinit.cli.help import Command
from philinit.cli.options import (
    InitializerName,
    Shape,
    dtype_option,
    initializer_options,
    json_option,
    threads_option,
    write_json,
)
from philinit.cli.spec import (
    DESCRIBING,
    SPEC_HELP,
    FileSeed,
    SeedFor,
    make_tensor,
    read_spec,
    refuse_typed,
    spec_option,
)
from philinit.files.layouts import check_suffix
from philinit.files.resume import Record
from philinit.files.tensors import Tensor
from philinit.files.unfinished import amount
from philinit.files.write import Written, write_file
from philinit.keys import fresh_seed

HELP = """Write initial weights to a file, which may be larger than memory.

PATH ends in .npy, for one tensor described by --init and --shape, or in .safetensors, for tensors
described by --spec. If the command is interrupted, `philinit fill PATH --resume` continues.
"""

DETAILS = f"""{SPEC_HELP}
Until the file is complete, it is PATH.partial, next to a record of its progress. Where the file
system can tell, a disk that is too small is reported before the first byte is written. The bytes
are those of numpy.save and safetensors.numpy.save_file, for any number of threads and
interruptions.

NumPy's format has no name for bfloat16: read such a file with
np.load(PATH).view(ml_dtypes.bfloat16). Orthogonal matrices are made in memory.
"""


@click.command(
    cls=Command,
    help=HELP,
    examples=[
        "philinit fill w.npy --init glorot_uniform --shape 1e6,1000 --seed 7",
        "philinit fill w.npy --init he_normal --param activation=gelu --shape 3,3,256,512 "
        "--dtype bfloat16",
        "philinit fill model.safetensors --spec spec.json --seed 7",
        "philinit fill w.npy --resume",
    ],
    details=DETAILS,
    exit_codes={
        0: "The file is complete.",
        1: "The file exists already, or the disk is full or fails.",
    },
)
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--init", type=InitializerName(), help="Initializer of a .npy file.")
@click.option("--shape", type=Shape(), help="Shape of a .npy file, such as 3,3,256,512 or 1e6,64.")
@dtype_option
@initializer_options("Integer that decides the weights. Default: a new one, which is printed.")
@spec_option
@threads_option
@click.option("--force", is_flag=True, help="Replace PATH, when the new file is complete.")
@click.option("--resume", is_flag=True, help="Continue an interrupted file, PATH.partial.")
@json_option
@click.pass_context
def fill(
    ctx: click.Context,
    /,
    path: Path,
    threads: int | None,
    force: bool,
    resume: bool,
    json_path: Path | None,
    **described: Any,
) -> None:
    """As `HELP` says."""
    console = open_console(json_path)
    path = Path(os.path.realpath(path))
    start = time.perf_counter()
    try:
        check_suffix(path)
        tensors = _tensors(ctx, path, resume, **described)
        options = {"threads": threads, "force": force, "resume": resume}
        written = with_bar(console, path, write_file, tensors, **options)
    except (TypeError, ValueError) as error:
        raise click.UsageError(str(error)) from error
    except (OSError, MemoryError) as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        _say_how_to_continue(path, force)
        ctx.exit(130)
    seconds = time.perf_counter() - start
    _say_what_was_written(console, path, tensors, written, seconds)
    if json_path is not None:
        document = {
            "path": str(path),
            "size": written.size,
            "resumed_at": written.resumed_at,
            "seconds": seconds,
            "direct": written.direct,
            "tensors": [tensor.describe() for tensor in tensors],
        }
        write_json(json_path, document, console)


def _tensors(
    ctx: click.Context, path: Path, resume: bool, spec: Path | None, seed: int | None, **one: Any
) -> list[Tensor]:
    """What the file will hold, from the options or from the record of an unfinished file."""
    begun: dict[str, Tensor] = {}
    if resume:
        begun = {tensor.name: tensor for tensor in Record.load(path).tensors}
        if spec is None and one["init"] is None:
            why = "cannot be used with --resume alone: leave it out, or add --init or --spec"
            refuse_typed(ctx, {"seed": "--seed", **DESCRIBING}, why)
            return list(begun.values())
    seed_for = _seeds(seed, begun)
    if path.suffix == ".npy":
        if spec is not None or one["init"] is None or one["shape"] is None:
            raise click.UsageError("a .npy file needs --init and --shape, and takes no --spec")
        return [make_tensor("", seed_for(""), **one)]
    if spec is None:
        raise click.UsageError("a .safetensors file needs --spec")
    refuse_typed(ctx, DESCRIBING, "belongs in the spec, for each tensor")
    return read_spec(spec, seed_for)


def _seeds(seed: int | None, begun: dict[str, Tensor]) -> SeedFor:
    """The seed that was typed, or the one of the unfinished file, or one drawn for all tensors."""
    if seed is not None:
        return lambda name: FileSeed(seed)
    if begun:
        inits = {name: tensor.init for name, tensor in begun.items()}
        return lambda name: FileSeed(getattr(inits.get(name), "seed", None))
    drawn = FileSeed(fresh_seed(), from_entropy=True)
    return lambda name: drawn


def _say_how_to_continue(path: Path, force: bool) -> None:
    try:
        record = Record.load(path)
    except (OSError, ValueError):
        say_interrupted("interrupted before the first byte")
        return
    command = f"philinit fill {shlex.quote(os.path.relpath(path))} --resume" + " --force" * force
    text = f"interrupted at {record.done / record.size:.0%}; to continue: {command}"
    say_interrupted(text)


def _say_what_was_written(
    console: Console, path: Path, tensors: list[Tensor], written: Written, seconds: float
) -> None:
    fresh = written.size - written.resumed_at
    text = f"written: {path.name}, {amount(fresh)} in {seconds:.2f} s"
    if written.resumed_at:
        text += f", after {amount(written.resumed_at)} of an earlier run"
    say(console, text)
    for tensor in tensors[:1] if path.suffix == ".npy" else []:
        say(console, f"{tensor.init!r}, {tensor.dtype.name} of shape {tensor.shape}", "aside")
    drawn = {t.init.seed for t in tensors if getattr(t.init, "from_entropy", False)}  # type: ignore[attr-defined]
    for seed in drawn:
        say(console, f"new seed, which verify needs: --seed {seed}")
