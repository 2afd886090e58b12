# SPDX-License-Identifier: Apache-2.0
"""`philinit fill` as a user types it: interrupted, killed, on full disks, and gone on with."""

import hashlib
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip("fcntl", reason="files are written on POSIX systems")
pytest.importorskip("click")
pytest.importorskip("rich")

from click.testing import CliRunner

import philinit as pi
from philinit.cli.group import cli
from tests.support.command_line import assert_refused, environment, on_a_terminal, philinit

INIT = pi.HeNormal(seed=7, activation="gelu")
SHAPE = (3, 3, 256, 512)
OPTIONS = ["--init", "he_normal", "--param", "activation=gelu", "--shape", "3,3,256,512"]
OPTIONS += ["--seed", "7"]
SPEC = {
    "embed": {"init": "normal", "stddev": 0.02, "shape": [501, 77], "dtype": "bfloat16"},
    "head/kernel": {"init": "glorot_uniform", "shape": [77, 10], "seed": 7},
    "head/bias": {"init": "zeros", "shape": [10]},
    "scale": {"init": "ones", "shape": [], "dtype": "float64"},
}


def saved(array):
    """What `numpy.save` writes."""
    text = io.BytesIO()
    np.save(text, array)
    return text.getvalue()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def here(*arguments):
    """`philinit ...` in this process, for what needs no process of its own."""
    return CliRunner().invoke(cli, list(map(str, arguments)))


@pytest.fixture(scope="module")
def wanted():
    """The hash of the file that `OPTIONS` describe, not interrupted: 4.7 MB."""
    return sha256(saved(INIT(SHAPE)))


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(SPEC))
    return path


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
    rule = pi.Normal(seed=-3, sampler="tensorflow").named("encoder").named("kernel")
    assert path.read_bytes() == saved(rule((9, 9)))


def test_a_spec_makes_all_its_tensors(spec, tmp_path):
    load = pytest.importorskip("safetensors.numpy").load_file
    path = tmp_path / "m.safetensors"
    done = philinit("fill", path, "--spec", spec, "--seed", "3")
    assert done.returncode == 0, done.stderr
    found = load(path)
    assert set(found) == set(SPEC)
    rule = pi.Normal(stddev=0.02, seed=3).named("embed")
    assert np.array_equal(found["embed"], rule((501, 77), "bfloat16"))
    assert np.array_equal(found["head/kernel"], pi.GlorotUniform(seed=7)((77, 10)))
    assert np.array_equal(found["head/bias"], np.zeros(10, np.float32))
    assert found["scale"].shape == () and found["scale"] == 1.0


def test_a_seed_that_was_drawn_is_told_once_for_all_tensors(spec, tmp_path):
    path = tmp_path / "m.safetensors"
    done = philinit("fill", path, "--spec", spec)
    assert done.returncode == 0, done.stderr
    (seed,) = re.findall(r"the seed was drawn; .*: --seed (\d+)", " ".join(done.stdout.split()))
    assert here("verify", path, "--spec", spec, "--seed", seed).exit_code == 0
    assert here("verify", path, "--spec", spec, "--seed", "1").exit_code == 1


def test_json_has_what_was_written(tmp_path):
    path = tmp_path / "w.npy"
    done = philinit("fill", path, *OPTIONS, "--json", "-")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["path"] == str(path)
    assert document["size"] == path.stat().st_size
    assert document["resumed_at"] == 0
    assert document["seconds"] > 0
    (tensor,) = document["tensors"]
    assert (tensor["init"], tensor["seed"], tensor["shape"]) == ("HeNormal", 7, list(SHAPE))
    assert "written: w.npy" in done.stderr


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


# ---------------------------------------------------------------------------- going on

# A process whose writes are small, and at a chosen byte do what is asked; the rest as typed.
DRIVEN = """
import os, signal, sys, time
from philinit.files import write as _writing
from philinit.cli import main
_writing.PIECE, _writing.CHECKPOINT = 65536, 0.0
at, action = int(sys.argv[1]), sys.argv[2]
pwrite, signalled = os.pwrite, []
def watched(fd, image, place):
    if place >= at and not signalled:
        if action == "slow":
            time.sleep(0.05)
        elif action != "full":
            signalled.append(place)
            os.kill(os.getpid(), getattr(signal, action))
    return pwrite(fd, image, place)
os.pwrite = watched
if action == "full":  # a disk that promises more than it has
    os.posix_fallocate = lambda fd, start, size: os.ftruncate(fd, size)
sys.argv[1:] = sys.argv[3:]
main()
"""


def driven(at, action, *arguments, start=subprocess.run, **options):
    """`philinit ...` in a process to which `action` happens at byte `at`."""
    command = [sys.executable, "-c", DRIVEN, str(at), action, *map(str, arguments)]
    if start is subprocess.run:
        options |= {"timeout": 120, "check": False}
    return start(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        **options,
    )


@pytest.mark.parametrize("at", [0, 1 << 20, 4 << 20])
def test_ctrl_c_leaves_a_file_that_the_printed_command_finishes(at, wanted, tmp_path):
    path = tmp_path / "my weights.npy"
    done = driven(at, "SIGINT", "fill", path, *OPTIONS, cwd=tmp_path)
    assert done.returncode == 130, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert not path.exists()
    (line,) = done.stdout.splitlines()
    share, command = re.fullmatch(r"interrupted at (\d+)%; go on with: (.*)", line).groups()
    record = json.loads((tmp_path / "my weights.npy.partial.json").read_text())
    assert at <= record["done"] + 4 * 65536 <= at + 9 * 65536
    assert int(share) == round(100 * record["done"] / record["size"])
    arguments = shlex.split(command)
    assert arguments[:2] == ["philinit", "fill"]
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert ("were there" in done.stdout) == (record["done"] > 0)
    assert sha256(path.read_bytes()) == wanted
    assert os.listdir(tmp_path) == [path.name]


def test_ctrl_c_of_a_terminal_reaches_a_slow_disk_too(wanted, tmp_path):
    path = tmp_path / "w.npy"
    record = tmp_path / "w.npy.partial.json"
    child = driven(
        0, "slow", "fill", path, *OPTIONS, start=subprocess.Popen, start_new_session=True
    )
    try:
        end = time.monotonic() + 60
        while not record.exists() or json.loads(record.read_text())["done"] < 300_000:
            assert child.poll() is None and time.monotonic() < end, child.communicate()
            time.sleep(0.01)
        os.killpg(child.pid, signal.SIGINT)
        out, err = child.communicate(timeout=30)
    finally:
        child.kill()
        child.communicate()
    assert child.returncode == 130, err
    assert "go on with: philinit fill" in out
    done = philinit("fill", path, "--resume")
    assert done.returncode == 0, done.stderr
    assert sha256(path.read_bytes()) == wanted


@pytest.mark.parametrize("at", [0, 2 << 20])
def test_a_killed_process_leaves_a_file_that_resume_finishes(at, wanted, tmp_path):
    path = tmp_path / "w.npy"
    done = driven(at, "SIGKILL", "fill", path, *OPTIONS)
    assert done.returncode == -signal.SIGKILL
    assert not path.exists()
    done = philinit("fill", path, *OPTIONS, "--resume", "--json", "-")
    assert done.returncode == 0, done.stderr
    resumed_at = json.loads(done.stdout)["resumed_at"]
    assert resumed_at == 0 if at == 0 else 0 < resumed_at <= at
    assert sha256(path.read_bytes()) == wanted


def test_a_spec_is_gone_on_with_too(spec, tmp_path):
    one, other = tmp_path / "one.safetensors", tmp_path / "other.safetensors"
    assert here("fill", one, "--spec", spec, "--seed", "3").exit_code == 0
    for more in ([], ["--spec", spec]):  # the seed is the record's
        done = driven(65536, "SIGINT", "fill", other, "--spec", spec, "--seed", "3", "--force")
        assert done.returncode == 130, done.stderr
        done = here("fill", other, "--resume", "--force", *more)
        assert done.exit_code == 0, done.output
        assert other.read_bytes() == one.read_bytes()


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A folder with an unfinished w.npy."""
    folder = tmp_path_factory.mktemp("begun")
    done = driven(65536, "SIGINT", "fill", folder / "w.npy", *OPTIONS)
    assert done.returncode == 130, done.stderr
    return folder


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*OPTIONS[:-1], "8"], "seed was 7, and is now 8"),
        ([*OPTIONS, "--dtype", "float16"], 'dtype was "float32", and is now "float16"'),
        (["--seed", "7"], "--seed must be left out with --resume, or come with --init or --spec"),
        (["--shape", "3"], "--shape must be left out with --resume"),
    ],
)
def test_going_on_with_other_options_names_the_difference(
    arguments, message, begun, wanted, tmp_path
):
    path = tmp_path / "w.npy"
    for source in begun.iterdir():
        (tmp_path / source.name).write_bytes(source.read_bytes())
    done = here("fill", path, "--resume", *arguments)
    assert done.exit_code == 2, done.output
    assert message in " ".join(done.output.split())
    done = here("fill", path, *OPTIONS)
    assert done.exit_code == 1
    assert "go on with it by --resume" in " ".join(done.output.split())
    assert sorted(os.listdir(tmp_path)) == ["w.npy.partial", "w.npy.partial.json"]
    done = here("fill", path, "--resume", *OPTIONS[:-2])  # the seed is the record's
    assert done.exit_code == 0, done.output
    assert sha256(path.read_bytes()) == wanted


# ---------------------------------------------------------------------------- disks


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 1 MiB, and a function that makes it 16 MiB."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounts a small disk: Linux, as root")
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options):
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    if not mount("size=1m"):
        pytest.skip("this machine lets nobody mount a disk")
    try:
        yield folder, lambda: mount("remount,size=16m")
    finally:
        subprocess.run(["umount", str(folder)], capture_output=True, check=False)


def test_a_full_disk_is_told_before_the_first_byte(small_disk):
    folder, _ = small_disk
    done = philinit("fill", folder / "w.npy", *OPTIONS)
    assert_refused(done, "w.npy needs 4.72 MB on its disk; 1.0", code=1)
    assert f"are free in {folder}: make room, or choose another folder" in (
        " ".join(done.stderr.split())
    )
    assert os.listdir(folder) == []


def test_a_disk_that_fills_meanwhile_leaves_a_file_that_resume_finishes(small_disk, wanted):
    folder, enlarge = small_disk
    path = folder / "w.npy"
    done = driven(0, "full", "fill", path, *OPTIONS)
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(
        r"Error: the disk of .* is full .* are free\) and w\.npy is not finished: [\d.]+ kB of "
        r"4\.72 MB are safe in w\.npy\.partial; make room, and go on with --resume",
        " ".join(done.stderr.split()),
    )
    assert enlarge()
    done = philinit("fill", path, "--resume")
    assert done.returncode == 0, done.stderr
    assert sha256(path.read_bytes()) == wanted


def test_a_limit_on_the_size_of_files_is_told(tmp_path):
    import resource

    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    done = subprocess.run(
        [sys.executable, "-m", "philinit", "fill", str(tmp_path / "w.npy"), *OPTIONS],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert_refused(done, "the limit of this process (ulimit -f), allows in one file", code=1)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(sys.platform != "linux", reason="needs a folder that even root cannot write")
def test_a_folder_that_cannot_be_written_is_told():
    done = philinit("fill", "/sys/kernel/w.npy", *OPTIONS)
    assert_refused(done, "cannot write in /sys/kernel: Permission denied", code=1)


def test_a_read_only_folder_is_told(tmp_path):
    tmp_path.chmod(0o500)
    if os.access(tmp_path, os.W_OK):
        pytest.skip("root writes everywhere")
    done = philinit("fill", tmp_path / "w.npy", *OPTIONS)
    assert_refused(done, f"cannot write in {tmp_path}: Permission denied", code=1)


# ---------------------------------------------------------------------------- what is refused


def test_a_file_is_replaced_by_force_only(tmp_path, wanted):
    path = tmp_path / "w.npy"
    path.write_text("dear")
    done = philinit("fill", path, *OPTIONS)
    assert_refused(done, "w.npy must not exist; it does: --force replaces it", code=1)
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
        (["w.npy", "--init", "normal", "--shape", "3,x"], "'x' is no whole number"),
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
        ('{"a": {}, "a": {}}', "'a' stands twice"),
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
    assert "--dtype must stand in the spec, for each tensor" in " ".join(done.output.split())
