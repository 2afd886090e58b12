# SPDX-License-Identifier: Apache-2.0
"""`philinit verify` as a user types it: equal files, trained tables, and what is no such file."""

import json
import re

import ml_dtypes
import numpy as np
import pytest

pytest.importorskip("fcntl", reason="files are written on POSIX systems")
pytest.importorskip("click")
pytest.importorskip("rich")

from click.testing import CliRunner

import philinit as pi
from philinit.cli.group import cli
from tests.support.command_line import assert_refused, on_a_terminal, philinit

INIT = pi.Normal(stddev=0.02, seed=7)
OPTIONS = ["--init", "normal", "--param", "stddev=0.02", "--seed", "7"]


def here(*arguments):
    """`philinit ...` in this process, for what needs no process of its own."""
    return CliRunner().invoke(cli, list(map(str, arguments)))


def assert_refused_here(done, message):
    assert done.exit_code == 2, done.output
    assert message in " ".join(done.output.split())


@pytest.fixture
def table(tmp_path):
    """An embedding of 1,000 rows as it began."""
    path = tmp_path / "table.npy"
    np.save(path, INIT((1000, 16)))
    return path


@pytest.fixture
def trained(table):
    """The same, of which rows 3 to 7 and 500 have been trained."""
    weights = np.load(table)
    weights[3:8] *= 2
    weights[500, 15] = np.nextafter(weights[500, 15], np.float32(1))
    np.save(table, weights)
    return table


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_untouched_file_is_equal(dtype, tmp_path):
    path = tmp_path / "w.npy"
    np.save(path, INIT((100, 10), dtype))
    done = philinit("verify", path, *OPTIONS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.fullmatch(r"equal: every bit of w\.npy, .* in .* s\n", done.stdout)


@pytest.mark.parametrize("shape", [(), (0,), (7,), (0, 3), (2, 3, 4)])
def test_scalars_vectors_and_nothing_are_compared(shape, tmp_path):
    path = tmp_path / "w.npy"
    np.save(path, INIT(shape))
    assert here("verify", path, *OPTIONS).exit_code == 0
    if np.prod(shape):
        np.save(path, INIT(shape) * np.float32(2))
        assert here("verify", path, *OPTIONS).exit_code == 1


def test_a_trained_table_has_its_first_difference_and_its_untrained_rows(trained, tmp_path):
    rows_out, document = tmp_path / "rows.txt", tmp_path / "found.json"
    done = philinit("verify", trained, *OPTIONS, "--rows-out", rows_out, "--json", document)
    assert done.returncode == 1, done.stderr
    text = " ".join(done.stdout.split())
    expected, found = INIT((1000, 16))[3, 0], np.load(trained)[3, 0]
    bits = [f"0x{int(value.view(np.uint32)):08x}" for value in (expected, found)]
    assert (
        f"table.npy: first difference at [3, 0]: expected {expected!s} ({bits[0]}), "
        f"found {found!s} ({bits[1]}), {1 << 23:,} ulps apart"
    ) in text
    assert "table.npy: unchanged rows: 0-2, 8-499, 501-999" in text
    assert re.search(r"table\.npy 16,000 81 0\.51% 1,000 994 99\.40%", text)
    equal = [*range(3), *range(8, 500), *range(501, 1000)]
    assert np.loadtxt(rows_out, dtype=int).tolist() == equal
    (entry,) = json.loads(document.read_text())["tensors"]
    assert (entry["different"], entry["rows"], entry["rows_equal"]) == (81, 1000, 994)
    assert entry["equal_rows"] == [[0, 2], [8, 499], [501, 999]]
    assert entry["first"]["index"] == [3, 0]
    assert entry["first"]["expected_bits"] == bits[0]


def test_another_seed_is_a_difference_from_the_start(table):
    done = philinit("verify", table, *OPTIONS[:-1], "8", "--json")
    assert done.returncode == 1
    assert done.stderr.startswith("table.npy: first difference at [0, 0]: expected ")
    (entry,) = json.loads(done.stdout)["tensors"]
    assert entry["first"]["index"] == [0, 0]
    assert entry["rows_equal"] == 0
    done = philinit("verify", table, *OPTIONS[:-1], "8")
    assert "unchanged rows: none" in " ".join(done.stdout.split())


def test_zeros_of_another_sign_and_nan_are_differences(tmp_path):
    path = tmp_path / "w.npy"
    np.save(path, np.array([0.0, -0.0], np.float32))
    done = philinit("verify", path, "--init", "zeros")
    assert done.returncode == 1
    assert "found -0.0 (0x80000000), zeros of different sign" in " ".join(done.stdout.split())
    np.save(path, np.array([0.0, np.nan], ml_dtypes.bfloat16))
    document = tmp_path / "found.json"
    done = philinit("verify", path, "--init", "zeros", "--json", document)
    assert done.returncode == 1
    assert "found nan (0x7fc0), one is NaN" in " ".join(done.stdout.split())
    assert json.loads(document.read_text())["tensors"][0]["first"]["ulps"] is None


SPEC = {
    "[b]table": {"init": "normal", "stddev": 0.02, "shape": [50, 8], "dtype": "bfloat16"},
    "other": {"init": "he_uniform", "shape": [50, 8]},
    "bias": {"init": "zeros", "shape": [8]},
}


@pytest.fixture
def model(tmp_path):
    """A spec and the .safetensors file that it describes, with seed 5."""
    spec, path = tmp_path / "spec.json", tmp_path / "m.safetensors"
    spec.write_text(json.dumps(SPEC))
    done = here("fill", path, "--spec", spec, "--seed", "5")
    assert done.exit_code == 0, done.output
    return spec, path


def test_a_model_is_compared_tensor_by_tensor(model, tmp_path):
    spec, path = model
    options = ["--spec", spec, "--seed", "5"]
    assert here("verify", path, *options).exit_code == 0
    data = bytearray(path.read_bytes())
    place = data.index(
        pi.Normal(stddev=0.02, seed=5).named("[b]table")((50, 8), "bfloat16").tobytes()
    )
    data[place + 2 * 8 * 49] ^= 1  # of the last row
    path.write_bytes(data)
    done = philinit("verify", path, *options, "--json", tmp_path / "found.json")
    assert done.returncode == 1
    assert "[b]table: first difference at [49, 0]" in " ".join(done.stdout.split())
    entries = json.loads((tmp_path / "found.json").read_text())["tensors"]
    found = {entry["name"]: entry["different"] for entry in entries}
    assert found == {"[b]table": 1, "other": 0, "bias": 0}
    assert here("verify", path, *options, "--tensor", "other").exit_code == 0
    rows = tmp_path / "rows.txt"
    done = here("verify", path, *options, "--tensor", "[b]table", "--rows-out", rows)
    assert done.exit_code == 1
    assert rows.read_text().split() == [str(i) for i in range(49)]
    done = here("verify", path, *options, "--rows-out", rows)
    assert_refused_here(done, "--rows-out is for one table of 2 axes; got 2: choose with --tensor")


def test_a_spec_of_another_model_is_a_difference(model):
    spec, path = model
    other = json.loads(spec.read_text())
    other["other"]["shape"] = [8, 50]
    other["more"] = {"init": "zeros", "shape": [2]}
    spec.write_text(json.dumps(other))
    done = philinit("verify", path, "--spec", spec, "--seed", "5")
    assert done.returncode == 1
    text = " ".join(done.stdout.split())
    assert "other: float32 of shape (50, 8) in the file, not float32 of shape (8, 50)" in text
    assert "more: not in the file" in text


@pytest.mark.parametrize("columns", [40, 200])
def test_piped_output_is_plain_and_keeps_to_the_columns(columns, trained):
    done = philinit("verify", trained, *OPTIONS, COLUMNS=str(columns))
    assert done.returncode == 1, done.stderr
    assert "\x1b" not in done.stdout and "\r" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= columns
    assert "81" in done.stdout and "994" in done.stdout


def test_a_terminal_gets_a_bar_and_colors(trained):
    code, seen = on_a_terminal("verify", trained, *OPTIONS, columns=60)
    assert code == 1, seen
    assert "\x1b[?25l" in seen and "\x1b[38;5;160m" in seen


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--init", "normal"], "--seed is needed"),
        (["--seed", "7"], "a .npy file needs --init"),
        ([*OPTIONS, "--tensor", "a"], "takes no --spec and no --tensor"),
        (["--init", "orthogonal", "--param", "gain=x", "--seed", "7"], "`gain` must be"),
    ],
)
def test_wrong_options_are_refused_in_a_sentence(arguments, message, table):
    assert_refused_here(here("verify", table, *arguments), message)


def test_files_that_cannot_be_read_are_exit_code_2(tmp_path, table):
    assert_refused_here(here("verify", tmp_path / "no.npy", *OPTIONS), "does not exist")
    (tmp_path / "w.npy").write_text("hello")
    assert_refused(philinit("verify", tmp_path / "w.npy", *OPTIONS), "w.npy is no .npy file")
    with table.open("r+b") as file:
        file.truncate(2000)
    assert_refused_here(here("verify", table, *OPTIONS), "table.npy ends early")
    np.save(tmp_path / "w.npy", np.ones(3, np.int64))
    assert_refused_here(here("verify", tmp_path / "w.npy", *OPTIONS), "holds <i8")
    (tmp_path / "w.txt").write_text("hello")
    assert_refused_here(here("verify", tmp_path / "w.txt", *OPTIONS), "must end in .npy")
