# SPDX-License-Identifier: Apache-2.0
"""`philinit fill` as a user types it: files, specs, and what is refused."""

import json
import os
import re

import numpy as np
import pytest

pytest.importorskip("fcntl", reason="files are written on POSIX systems")
pytest.importorskip("click")
pytest.importorskip("rich")

import philinit as pi
from tests.support.command_line import assert_refused, on_a_terminal, philinit
from tests.support.fill_command import INIT, OPTIONS, SHAPE, SPEC, here, sha256
from tests.support.weight_files import saved

# ---------------------------------------------------------------------------- files


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_file_has_the_bytes_of_numpy_save(dtype, tmp_path):
    path = tmp_path / "w.npy"
    done = philinit("fill", path, *OPTIONS, "--dtype", dtype, "--threads", "1")
    assert done.returncode == 0, done.stderr
    assert path.read_bytes() == saved(INIT(SHAPE, dtype))
    assert re.search(r"written: w\.npy, [\d.]+ MB in [\d.]+ s", done.stdout)
    assert f"HeNormal(seed=7, activation='gelu'), {dtype} of shape (3, 3, 256, 512)" in (
        " ".join(done.stdout.split())
    )
    assert os.listdir(tmp_path) == ["w.npy"]


@pytest.mark.parametrize(("typed", "shape"), [("0", (0,)), ("3,0", (3, 0)), ("1e3", (1000,))])
def test_empty_files_and_vectors(typed, shape, tmp_path):
    path = tmp_path / "w.npy"
    done = here("fill", path, "--init", "uniform", "--seed", "1", "--shape", typed)
    assert done.exit_code == 0, done.output
    assert path.read_bytes() == saved(pi.Uniform(seed=1)(shape))


def test_sampler_and_names_are_those_of_the_initializer(tmp_path):
    path = tmp_path / "w.npy"
    arguments = ["--init", "Normal", "--shape", "9,9", "--seed", "-3", "--sampler", "tensorflow"]
    done = here("fill", path, *arguments, "--name", "encoder", "--name", "kernel")
    assert done.exit_code == 0, done.output
    init = pi.Normal(seed=-3, sampler="tensorflow").named("encoder").named("kernel")
    assert path.read_bytes() == saved(init((9, 9)))


def test_a_spec_makes_all_its_tensors(spec, tmp_path):
    load = pytest.importorskip("safetensors.numpy").load_file
    path = tmp_path / "m.safetensors"
    done = philinit("fill", path, "--spec", spec, "--seed", "3")
    assert done.returncode == 0, done.stderr
    found = load(path)
    assert set(found) == set(SPEC)
    init = pi.Normal(stddev=0.02, seed=3).named("embed")
    assert np.array_equal(found["embed"], init((501, 77), "bfloat16"))
    assert np.array_equal(found["head/kernel"], pi.GlorotUniform(seed=7)((77, 10)))
    assert np.array_equal(found["head/bias"], np.zeros(10, np.float32))
    assert found["scale"].shape == () and found["scale"] == 1.0


def test_a_seed_that_was_drawn_is_told_once_for_all_tensors(spec, tmp_path):
    path = tmp_path / "m.safetensors"
    done = philinit("fill", path, "--spec", spec)
    assert done.returncode == 0, done.stderr
    (seed,) = re.findall(
        r"new seed, which verify needs: --seed (\d+)", " ".join(done.stdout.split())
    )
    assert here("verify", path, "--spec", spec, "--seed", seed).exit_code == 0
    assert here("verify", path, "--spec", spec, "--seed", "1").exit_code == 1


def test_json_has_what_was_written(tmp_path):
    path = tmp_path / "w.npy"
    done = philinit("fill", path, *OPTIONS, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert document["path"] == str(path)
    assert document["size"] == path.stat().st_size
    assert document["resumed_at"] == 0
    assert document["seconds"] > 0
    (tensor,) = document["tensors"]
    assert (tensor["init"], tensor["seed"], tensor["shape"]) == ("HeNormal", 7, list(SHAPE))


@pytest.mark.parametrize("columns", [40, 200])
def test_piped_output_is_plain_and_keeps_to_the_columns(columns, tmp_path):
    done = philinit("fill", tmp_path / "w.npy", *OPTIONS, COLUMNS=str(columns))
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout and "\r" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= columns


def test_a_terminal_gets_a_bar(tmp_path):
    code, seen = on_a_terminal("fill", tmp_path / "w.npy", *OPTIONS, columns=40)
    assert code == 0, seen
    assert "\x1b[?25l" in seen  # the cursor hides behind a bar


# ---------------------------------------------------------------------------- what is refused


def test_a_file_is_replaced_by_force_only(tmp_path, wanted):
    path = tmp_path / "w.npy"
    path.write_text("dear")
    done = philinit("fill", path, *OPTIONS)
    assert_refused(done, "w.npy exists already: --force replaces it", code=1)
    assert path.read_text() == "dear"
    assert here("fill", path, *OPTIONS, "--force").exit_code == 0
    assert sha256(path.read_bytes()) == wanted


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["w.npy"], "a .npy file needs --init and --shape, and takes no --spec"),
        (["w.npy", "--init", "normal"], "a .npy file needs --init and --shape"),
        (["w.bin", *OPTIONS], "the file must end in .npy or .safetensors; got w.bin"),
        (["w.safetensors", *OPTIONS], "a .safetensors file needs --spec"),
        (["w.npy", "--resume"], "--resume needs an unfinished w.npy.partial, and there is none"),
        (["w.npy", "--init", "identity", "--shape", "3"], "must have 2 axes"),
        (["w.npy", "--init", "normal", "--param", "gain=2", "--shape", "3"], "no parameter 'gain'"),
        (["w.npy", "--init", "normal", "--shape", "3,x"], "'x' is not a whole number"),
        (["w.npy", "--init", "nobody", "--shape", "3"], "'nobody' is not one of"),
        (["w.npy", "--init", "normal", "--shape", "1e9,1e10"], "less than 2**63 bytes"),
        (["m.safetensors", "--spec", "missing.json"], "does not exist"),
    ],
)
def test_wrong_options_are_refused_in_a_sentence(arguments, message, tmp_path):
    done = here("fill", tmp_path / arguments[0], *arguments[1:])
    assert done.exit_code == 2, done.output
    assert message in " ".join(done.output.split())
    assert os.listdir(tmp_path) == []


def entry(**changes):
    return json.dumps({"a": {"init": "normal", "shape": [3], **changes}})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "spec.json must be JSON"),
        ("[]", "must be an object with an entry for each tensor"),
        ("{}", "must be an object with an entry for each tensor"),
        ('{"a": 1}', "tensor 'a': each entry must be an object"),
        ('{"a": {"shape": [3]}}', "tensor 'a': each entry must be an object"),
        ('{"a": {}, "a": {}}', "'a' appears twice"),
        (entry(init="nobody"), "tensor 'a': 'nobody' is not one of"),
        (entry(init=3), '"init" a string'),
        (entry(names="b"), '"names" must be a list'),
        (entry(shape=[3.5]), "tensor 'a': `shape` must hold ints only"),
        (entry(shape="3,3"), "tensor 'a': `shape` must hold ints only"),
        (entry(dtype="int8"), "tensor 'a': `dtype` must be one of"),
        (entry(seed="x"), "tensor 'a': `seed` must be an int"),
        (entry(sampler="torch"), "tensor 'a': `sampler` must be"),
        (entry(stddev=-1), "tensor 'a': `stddev` must not be negative"),
        (entry(gain=2), "tensor 'a': normal has no parameter 'gain'"),
    ],
)
def test_a_wrong_spec_is_refused_before_there_is_a_file(text, message, tmp_path):
    (tmp_path / "spec.json").write_text(text)
    done = here("fill", tmp_path / "m.safetensors", "--spec", tmp_path / "spec.json")
    assert done.exit_code == 2, done.output
    assert message in " ".join(done.output.split())
    assert os.listdir(tmp_path) == ["spec.json"]


def test_options_that_belong_into_a_spec_are_refused(spec, tmp_path):
    path = tmp_path / "m.safetensors"
    done = here("fill", path, "--spec", spec, "--dtype", "float16")
    assert done.exit_code == 2
    assert "--dtype belongs in the spec, for each tensor" in " ".join(done.output.split())
