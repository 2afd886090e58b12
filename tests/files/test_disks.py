# SPDX-License-Identifier: Apache-2.0
"""Disks that fail, are full, or know no direct writes; and how much memory a file takes."""

import errno
import os
import sys
import threading

import pytest

pytest.importorskip("fcntl", reason="files are written on POSIX systems")

from philinit.files import unfinished, verify, write
from philinit.files.resume import Record
from philinit.files.verify import verify_file
from philinit.files.write import write_file
from tests.support.processes import run_python
from tests.support.weight_files import INIT, make_small, saved, tensor


@pytest.fixture
def small(monkeypatch):
    make_small(monkeypatch)


def failing_pwrite(monkeypatch, number, first):
    """The disk refuses all bytes from `first` on."""
    pwrite = os.pwrite

    def failing(fd, image, start):
        if start >= first:
            raise OSError(number, os.strerror(number))
        return pwrite(fd, image, start)

    monkeypatch.setattr(os, "pwrite", failing)


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "is full .*: .* of 38.01 kB are safe in .*; free some space, and continue"),
        (errno.EIO, "could not be completed: .*error; .* are safe"),
    ],
)
def test_a_disk_that_fails_meanwhile_leaves_what_can_be_finished(
    number, message, tmp_path, small, monkeypatch
):
    path = tmp_path / "w.npy"
    with monkeypatch.context() as patch:
        failing_pwrite(patch, number, 16384)
        with pytest.raises(OSError, match=message):
            write_file(path, [tensor()])
    assert Record.load(path).done == 16384
    assert write_file(path, [tensor()], resume=True).resumed_at == 16384
    assert path.read_bytes() == saved(INIT((123, 77)))


def test_a_disk_without_room_for_records_holds_the_file_all_the_same(tmp_path, small, monkeypatch):
    save = Record.save

    def full(self, path, done):
        if done:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(self, path, done)

    monkeypatch.setattr(Record, "save", full)
    write_file(tmp_path / "w.npy", [tensor()])
    assert (tmp_path / "w.npy").read_bytes() == saved(INIT((123, 77)))


@pytest.mark.parametrize("shape", [(1 << 58,), ((1 << 61) - 999,)])
def test_a_file_that_is_too_large_is_refused_at_the_start(shape, tmp_path):
    path = tmp_path / "w.npy"
    with pytest.raises(OSError, match=r"needs [\d,.]+ TB"):
        write_file(path, [tensor(shape=shape)])
    assert os.listdir(tmp_path) == []


def test_direct_writes_that_a_disk_refuses_go_through_the_cache(tmp_path, small, monkeypatch):
    import fcntl

    pwrite = os.pwrite

    def refusing(fd, image, start):
        if fcntl.fcntl(fd, fcntl.F_GETFL) & getattr(os, "O_DIRECT", 0):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return pwrite(fd, image, start)

    monkeypatch.setattr(os, "pwrite", refusing)
    assert not write_file(tmp_path / "w.npy", [tensor()]).direct
    assert (tmp_path / "w.npy").read_bytes() == saved(INIT((123, 77)))


def test_two_threads_that_find_out_at_once_both_go_on(tmp_path, small, monkeypatch):
    pwrite, both = os.pwrite, threading.Barrier(2, timeout=30)
    refusals = [1, 2]

    def refusing(fd, image, start):
        if start and refusals:
            refusals.pop()
            both.wait()  # each has begun to write while the other had found nothing out yet
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return pwrite(fd, image, start)

    monkeypatch.setattr(os, "pwrite", refusing)
    assert not write_file(tmp_path / "w.npy", [tensor()], threads=2).direct
    assert (tmp_path / "w.npy").read_bytes() == saved(INIT((123, 77)))


def test_a_system_without_linux_calls_writes_and_reads_the_same(tmp_path, small, monkeypatch):
    for name in ("O_DIRECT", "posix_fallocate", "fdatasync"):
        monkeypatch.delattr(os, name, raising=False)
    monkeypatch.setattr(sys, "platform", "other")
    path = tmp_path / "w.npy"
    assert not write_file(path, [tensor()]).direct
    assert path.read_bytes() == saved(INIT((123, 77)))
    assert verify_file(path, [tensor()])[0].equal
    monkeypatch.setattr(unfinished, "_free", lambda path: 1000)
    with pytest.raises(OSError, match=r"needs 38\.01 kB on its disk; 1\.00 kB are free"):
        write_file(tmp_path / "v.npy", [tensor()])
    assert os.listdir(tmp_path) == ["w.npy"]


def test_short_writes_are_continued(tmp_path, small, monkeypatch):
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, image, start: pwrite(fd, image[:1000], start))
    write_file(tmp_path / "w.npy", [tensor()])
    assert (tmp_path / "w.npy").read_bytes() == saved(INIT((123, 77)))


MEMORY = """
import sys
import threading
from pathlib import Path
import numpy as np, philinit as pi
from philinit.tools.measure.memory import Peak
from philinit.files.tensors import Tensor
from philinit.files.verify import verify_file
from philinit.files.write import write_file
path = Path(sys.argv[1])
for name, rows in (("small.npy", 1 << 12), ("large.npy", 1 << 18)):  # 4 MiB, and 256 MiB
    tensors = [Tensor("", pi.GlorotUniform(seed=7), (rows, 256), np.dtype(np.float32))]
    with Peak() as writing:
        write_file(path / name, tensors, threads=2)
    with Peak() as reading:
        assert verify_file(path / name, tensors, threads=2)[0].equal
print(writing.extra, reading.extra)
"""


def test_a_large_file_takes_a_few_buffers_of_memory(tmp_path):
    pytest.importorskip("psutil")
    writing, reading = run_python(MEMORY, tmp_path).stdout.split()
    if "None" in (writing, reading):
        pytest.skip("this system does not tell a process its peak of memory")
    buffers = write.BUFFERS * write.PIECE
    assert int(writing) < buffers + (8 << 20)
    assert int(reading) < 2 * 4 * verify.PIECE + (8 << 20)
