# SPDX-License-Identifier: Apache-2.0
"""`philinit fill` interrupted, killed and on full disks: what it says, and how it goes on."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("fcntl", reason="files are written on POSIX systems")
pytest.importorskip("click")
pytest.importorskip("rich")

from tests.support.command_line import assert_refused, philinit
from tests.support.fill_command import OPTIONS, here, sha256
from tests.support.processes import run_module, run_python

# ---------------------------------------------------------------------------- going on

# A process whose writes are small, and at a chosen byte do what is asked; the rest as typed.
DRIVEN = """
import os, signal, sys, time
from philinit.files import write
from philinit.cli import main
write.PIECE, write.CHECKPOINT = 65536, 0.0
at, action = int(sys.argv[1]), sys.argv[2]
pwrite, sent = os.pwrite, []
def watched(fd, image, start):
    if start >= at and not sent:
        if action == "slow":
            time.sleep(0.05)
        elif action != "full":
            sent.append(start)
            os.kill(os.getpid(), getattr(signal, action))
    return pwrite(fd, image, start)
os.pwrite = watched
if action == "full":  # a disk that promises more than it has
    os.posix_fallocate = lambda fd, start, size: os.ftruncate(fd, size)
sys.argv[1:] = sys.argv[3:]
main()
"""


def driven(at, action, *arguments, **options):
    """`philinit ...` in a process to which `action` happens at byte `at`."""
    return run_python(DRIVEN, at, action, *arguments, check=False, **options)


@pytest.mark.parametrize("at", [0, 1 << 20, 4 << 20])
def test_ctrl_c_leaves_a_file_that_the_printed_command_finishes(at, wanted, tmp_path):
    path = tmp_path / "my weights.npy"
    done = driven(at, "SIGINT", "fill", path, *OPTIONS, cwd=tmp_path)
    assert done.returncode == 130, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert not path.exists()
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    share, command = re.fullmatch(r"interrupted at (\d+)%; to continue: (.*)", line).groups()
    record = json.loads((tmp_path / "my weights.npy.partial.json").read_text())
    assert at <= record["done"] + 4 * 65536 <= at + 9 * 65536
    assert int(share) == round(100 * record["done"] / record["size"])
    arguments = shlex.split(command)
    assert arguments[:2] == ["philinit", "fill"]
    done = run_module(*arguments, cwd=tmp_path)
    assert ("earlier run" in done.stdout) == (record["done"] > 0)
    assert sha256(path.read_bytes()) == wanted
    assert os.listdir(tmp_path) == [path.name]


def test_ctrl_c_of_a_terminal_reaches_a_slow_disk_too(wanted, tmp_path):
    path = tmp_path / "w.npy"
    record = tmp_path / "w.npy.partial.json"
    child = subprocess.Popen(
        [sys.executable, "-c", DRIVEN, "0", "slow", "fill", path, *OPTIONS],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
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
    assert (child.returncode, out) == (130, "")
    assert "to continue: philinit fill" in err
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
        (
            ["--seed", "7"],
            "--seed cannot be used with --resume alone: leave it out, or add --init or --spec",
        ),
        (["--shape", "3"], "--shape cannot be used with --resume alone"),
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
    assert "continue it with --resume" in " ".join(done.output.split())
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
    assert f"are free in {folder}: free some space, or choose another folder" in (
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
        r"4\.72 MB are safe in w\.npy\.partial; free some space, and continue with --resume",
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
