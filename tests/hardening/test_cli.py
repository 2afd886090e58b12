# SPDX-License-Identifier: Apache-2.0
"""Commands with anything in options, specs and files: one sentence, harmless for a terminal."""

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

pytest.importorskip("fcntl", reason="files are written on POSIX systems")
pytest.importorskip("rich")

import philinit as pi
from philinit.cli.spec import FileSeed, read_spec
from philinit.files.write import write_file
from tests.hardening.test_files import DEEP, INPUTS, WORDS, assert_sentence, mutated
from tests.support.command_line import assert_refused, philinit, typed
from tests.support.fill_command import SPEC
from tests.support.weight_files import tensor

FULL = Path("/dev/full")
NEEDS_FULL = pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
HOSTILE = "\x1b]0;gone\x07\u202e\n\x9b31m"


def spec_of(tmp_path, text):
    path = tmp_path / "spec.json"
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    return path


# ---------------------------------------------------------------------------- terminals


def test_names_from_files_and_specs_are_printed_escaped(tmp_path):
    path = tmp_path / f"m{HOSTILE[:-5]}.safetensors"
    write_file(path, [tensor(name=HOSTILE)])
    entry = {"init": "glorot_uniform", "shape": [123, 77], "seed": 8}
    spec = spec_of(tmp_path, {HOSTILE: entry})
    wrong = spec_of(tmp_path / "..", {HOSTILE: {**entry, "dtype": HOSTILE}})
    for arguments in (
        ["verify", path, "--spec", spec],
        ["verify", path, "--spec", wrong],
        ["verify", path, "--spec", spec, "--tensor", HOSTILE + "x"],
        ["fill", path, "--spec", spec],
        ["fill", path, "--spec", spec, "--force"],
        ["show", HOSTILE, "--shape", "3"],
        ["show", "normal", "--shape", "1000", "--name", HOSTILE],
        [HOSTILE],
    ):
        done = typed(*arguments)
        text = done.stdout + done.stderr
        assert "\\x1b]0;gone\\x07" in "".join(text.split()), text
        assert text.replace("\n", "").isprintable(), text


def test_a_dtype_from_a_file_is_printed_escaped(tmp_path):
    path = tmp_path / "m.safetensors"
    header = json.dumps({"a": {"dtype": HOSTILE, "shape": [], "data_offsets": [0, 0]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    spec = spec_of(tmp_path, {"a": {"init": "zeros", "shape": []}})
    done = typed("verify", path, "--spec", spec)
    assert_refused(done, "is no .safetensors file")
    assert done.stderr.replace("\n", "").isprintable()


@pytest.mark.parametrize("columns", ["1", "2", "19", "\u00b2", "9" * 5000, "0", "-1"])
def test_any_width_of_a_terminal_will_do(columns):
    done = philinit("show", "he_normal", "--shape", "30,50", COLUMNS=columns)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


# ---------------------------------------------------------------------------- full disks


@NEEDS_FULL
@pytest.mark.parametrize("option", ["--json", "--rows-out"])
def test_a_full_disk_is_told_in_a_sentence(option, tmp_path):
    write_file(tmp_path / "w.npy", [tensor()])
    arguments = ["--init", "glorot_uniform", "--seed", "7", option, FULL]
    done = typed("verify", tmp_path / "w.npy", *arguments)
    assert done.returncode == 1
    assert done.stderr == "Error: the output cannot be written: No space left on device\n"


@NEEDS_FULL
@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["show", "--help"], ["show", "normal", "--shape", "9"], ["completion", "bash"]],
)
def test_a_full_stdout_is_told_in_a_sentence(arguments):
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "philinit", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "Error: the output cannot be written: No space left on device\n"


# ---------------------------------------------------------------------------- options, memory


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "normal", "--shape", "9" * 5000], "is not a whole number"),
        (["show", "normal", "--shape", "9" * 300], "that NumPy can hold"),
        (["show", "normal", "--shape", ",".join("1" * 65)], "at most 64 dimensions"),
        (["show", "normal", "--shape", "0," + "9" * 99], "that NumPy can hold"),
        (["show", "normal", "--shape", "3", "--param", "stddev=" + "9" * 400], "fit into float64"),
        (["show", "normal", "--shape", "3", "--param", "stddev=" + "9" * 5000], "a real number"),
        (["show", "normal", "--shape", "3", "--param", "stddev=" + "(" * 5000], "a real number"),
        (["show", "normal", "--shape", "3", "--seed", "9" * 5000], "must be an int in"),
        (["demo", "--params", "9" * 5000], "is not a whole number"),
    ],
)
def test_numbers_of_thousands_of_digits_are_told_in_a_sentence(arguments, message):
    done = typed(*arguments)
    assert_refused(done, message)
    assert len(done.stderr) < 2000


def test_sizes_beyond_memory_say_what_memory_is_there():
    done = typed("show", "normal", "--shape", "1e9,1e6", "--weights", "1e30")
    assert_refused(done, "GiB are free: ask for fewer with --weights", code=1)
    assert_refused(typed("demo", "--params", "1e30"), "--params must fit: ")


# ---------------------------------------------------------------------------- specs


def test_a_seed_of_null_is_the_seed_of_the_command_and_the_printed_advice_verifies(tmp_path):
    nothing = {"a": {"init": "normal", "shape": [9], "seed": None}}
    spec, path = spec_of(tmp_path, nothing), tmp_path / "m.safetensors"
    (wanted,) = read_spec(spec, lambda name: FileSeed(7))
    assert wanted.init == pi.Normal(seed=7).named("a")
    done = typed("fill", path, "--spec", spec)
    seed = done.stdout.split("which verify needs: --seed ")[1].split()[0]
    assert typed("verify", path, "--spec", spec, "--seed", seed).returncode == 0
    assert typed("verify", path, "--spec", spec, "--seed", "7").returncode == 1


def test_a_spec_of_twenty_thousand_names_is_read_in_a_second(tmp_path):
    entries = {f"layer_{i}": {"init": "normal", "shape": [3]} for i in range(20_000)}
    spec = spec_of(tmp_path, entries)
    read_spec(spec_of(tmp_path, {"a": entries["layer_0"]}), lambda name: FileSeed(7))
    spec = spec_of(tmp_path, entries)
    start = time.process_time()
    assert len(read_spec(spec, lambda name: FileSeed(7))) == 20_000
    assert time.process_time() - start < 2.0  # it was 8 s; room for a busy machine


@pytest.mark.parametrize(
    "text",
    [
        "[" * DEEP,
        '{"a":' * DEEP,
        '{"a": {"init": "normal", "shape": ' + "[" * 900 + "]" * 900 + "}}",
        '{"a": {"init": "Initializer", "shape": [3]}}',
        '{"a": {"init": "normal", "shape": [3], "dtype": "(2,"}}',
        '{"a": {"init": "normal", "shape": [3], "dtype": {"names": []}}}',
        '{"a": {"init": "normal", "shape": [1e999]}}',
        '{"a": {"init": "normal", "shape": [' + "9" * 5000 + "]}}",
        '{"a": {"init": "normal", "shape": [' + "9" * 4000 + "]}}",
        '{"a": {"init": "normal", "shape": [3], "stddev": ' + "9" * 4000 + "}}",
        '{"a": {"init": "normal", "shape": [3], "seed": 1e999}}',
        '{"a": 1, "a": 2}',
    ],
)
def test_specs_that_break_parsers_are_told_in_a_sentence(text, tmp_path):
    done = typed("fill", tmp_path / "m.safetensors", "--spec", spec_of(tmp_path, text))
    assert_refused(done, "spec.json")
    assert len(done.stderr) < 2000


@pytest.mark.slow
def test_specs_of_anything_are_read_or_told_in_a_sentence(tmp_path):
    from philinit.cli.group import harmless

    rng, path, read = random.Random(30), tmp_path / "spec.json", 0
    good = json.dumps(SPEC).encode()
    for _ in range(INPUTS):
        path.write_bytes(mutated(rng, good, WORDS))
        try:
            read_spec(path, lambda name: FileSeed(7))
            read += 1
        except click.UsageError as error:
            assert_sentence(harmless(error.message)[:999])
    assert 0 < read < INPUTS
