# SPDX-License-Identifier: Apache-2.0
"""Files of weights: their bytes are NumPy's and safetensors', however they came to the disk."""

import errno
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

pytest.importorskip("fcntl", reason="files are written on POSIX systems")

import philinit as pi
from philinit.dtypes import NAMES
from philinit.files import unfinished as _unfinished
from philinit.files import verify as _verifying
from philinit.files import write as _writing
from philinit.files.layout import Layout, layout
from philinit.files.resume import Record, difference, partial_of
from philinit.files.tensors import Tensor, boxes
from philinit.files.verify import verify_file
from philinit.files.write import write_file
from tests.support.weight_files import (
    INITS,
    MANY,
    RULE,
    WANTED,
    Stop,
    make_small,
    saved,
    stop_at,
    tensor,
)

SHAPES = [(), (0,), (5,), (0, 3), (3, 0), (123, 77), (7, 5, 3, 11)]


@pytest.fixture
def small(monkeypatch):
    make_small(monkeypatch)


# ---------------------------------------------------------------------------- bytes


@pytest.mark.parametrize("dtype", NAMES)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_npy_file_has_the_bytes_of_numpy_save(shape, dtype, tmp_path):
    path = tmp_path / "w.npy"
    written = write_file(path, [tensor(shape=shape, dtype=dtype)])
    assert path.read_bytes() == saved(RULE(shape, dtype))
    assert written.size == path.stat().st_size
    assert os.listdir(tmp_path) == ["w.npy"]


@pytest.mark.parametrize("init", INITS, ids=lambda init: type(init).__name__)
def test_pieces_of_any_initializer_make_the_whole(init, tmp_path, small):
    path = tmp_path / "w.npy"
    write_file(path, [tensor(init)])
    assert path.read_bytes() == saved(init((123, 77)))


@pytest.mark.parametrize("threads", [1, 3])
def test_the_number_of_threads_changes_no_byte(threads, tmp_path):
    path = tmp_path / "w.npy"
    write_file(path, [tensor(shape=(1 << 20, 5))], threads=threads)
    assert path.read_bytes() == saved(RULE((1 << 20, 5)))


def test_bfloat16_is_read_as_documented(tmp_path):
    path = tmp_path / "w.npy"
    write_file(path, [tensor(dtype="bfloat16")])
    for mode in (None, "r"):
        read = np.load(path, mmap_mode=mode).view(ml_dtypes.bfloat16)
        assert np.array_equal(read, RULE((123, 77), "bfloat16"))


def test_a_npy_file_can_be_mapped(tmp_path):
    path = tmp_path / "w.npy"
    write_file(path, [tensor()])
    read = np.load(path, mmap_mode="r")
    assert isinstance(read, np.memmap)
    assert np.array_equal(read[5:9], RULE.shard((123, 77), slice(5, 9)))


def test_a_safetensors_file_is_as_its_format_says(tmp_path, small):
    path = tmp_path / "m.safetensors"
    write_file(path, MANY)
    text = path.read_bytes()
    end = 8 + int.from_bytes(text[:8], "little")
    entries = json.loads(text[8:end])
    assert end % 8 == 0
    places = sorted(entry["data_offsets"] for entry in entries.values())
    assert places[0][0] == 0 and places[-1][1] == len(text) - end
    assert all(a[1] == b[0] for a, b in itertools.pairwise(places))  # no gaps, no overlaps
    codes = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": ml_dtypes.bfloat16}
    assert set(entries) == set(WANTED)
    for name, entry in entries.items():
        begin, stop = entry["data_offsets"]
        data = np.frombuffer(text[end + begin : end + stop], codes[entry["dtype"]])
        assert begin % data.itemsize == 0
        assert np.array_equal(data.reshape(entry["shape"]), WANTED[name])


def test_a_safetensors_file_has_the_bytes_of_the_package(tmp_path, small):
    package = pytest.importorskip("safetensors.numpy")
    write_file(tmp_path / "m.safetensors", MANY)
    package.save_file(WANTED, tmp_path / "theirs.safetensors")
    assert (tmp_path / "m.safetensors").read_bytes() == (
        tmp_path / "theirs.safetensors"
    ).read_bytes()
    read = package.load_file(tmp_path / "m.safetensors")
    assert all(np.array_equal(read[name], WANTED[name]) for name in WANTED)


@pytest.mark.parametrize("shape", [(7,), (3, 4), (2, 3, 4), (3, 1, 2, 2)])
def test_boxes_are_a_run_of_elements(shape):
    size = int(np.prod(shape))
    numbers = np.arange(size).reshape(shape)
    for start, stop in itertools.combinations(range(size + 1), 2):
        found = [numbers[index].reshape(-1) for index in boxes(shape, start, stop)]
        assert np.array_equal(np.concatenate(found), np.arange(start, stop))
        assert len(found) <= 2 * len(shape) - 1


def test_any_cut_of_a_file_gives_the_same_bytes():
    plan = layout(Path("m.safetensors"), MANY)
    whole = np.empty(plan.size, np.uint8)
    plan.write(whole, 0)
    for step in (8, 72, 4096):
        again = np.empty_like(whole)
        for start in range(0, plan.size, step):
            plan.write(again[start : start + step], start)
        assert np.array_equal(again, whole)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: tensor(pi.Identity(), (3,)), "must have 2 axes"),
        (lambda: tensor(pi.Orthogonal(seed=1), (3,)), "at least 2 axes"),
        (lambda: tensor(pi.Constant(1e6), (3,), "float16"), "must fit into float16"),
        (lambda: tensor(pi.Uniform(-1e9, 1e9, seed=1), (3,), "float16"), "float16"),
        (lambda: tensor(RULE, (-3,)), "negative"),
        (lambda: tensor(RULE, (1 << 61,)), r"less than 2\*\*63 bytes"),
        (lambda: tensor(RULE, (1 << 61, 1 << 61)), r"less than 2\*\*63 bytes"),
        (lambda: layout(Path("w.npz"), [tensor()]), "must end in .npy or .safetensors"),
        (
            lambda: layout(Path("m.safetensors"), [tensor(name="a"), tensor(name="a")]),
            "a name of its own; got 'a'",
        ),
        (lambda: layout(Path("m.safetensors"), [tensor(name="__metadata__")]), "__metadata__"),
    ],
)
def test_what_cannot_be_written_is_refused_before_there_is_a_file(made, message):
    with pytest.raises(ValueError, match=message):
        made()


# ---------------------------------------------------------------------------- going on


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.7, 1.0])
def test_an_interrupted_file_can_be_finished(share, tmp_path, small):
    path = tmp_path / "m.safetensors"
    whole = layout(path, MANY)
    with pytest.raises(Stop):
        write_file(path, MANY, progress=stop_at(share * whole.size))
    assert not path.exists()
    record = Record.load(path)
    assert share * whole.size <= record.done <= whole.size
    written = write_file(path, MANY, resume=True)
    assert written.resumed_at <= record.done
    image = np.empty(whole.size, np.uint8)
    whole.write(image, 0)
    assert path.read_bytes() == image.tobytes()
    assert os.listdir(tmp_path) == [path.name]


def test_what_is_recorded_is_on_the_disk_and_written_once(tmp_path, small, monkeypatch):
    events = []
    pwrite, sync, save = os.pwrite, os.fdatasync, Record.save

    def logged_pwrite(fd, image, place):
        count = pwrite(fd, image, place)
        events.append(("written", place + count))
        return count

    def logged_sync(fd):
        before = len(events)
        sync(fd)
        events.append(("synced", before))

    def logged_save(self, path, done):
        events.append(("recorded", done))
        save(self, path, done)

    monkeypatch.setattr(os, "pwrite", logged_pwrite)
    monkeypatch.setattr(os, "fdatasync", logged_sync)
    monkeypatch.setattr(Record, "save", logged_save)
    write_file(tmp_path / "w.npy", [tensor()])
    recorded = [(i, done) for i, (kind, done) in enumerate(events) if kind == "recorded"]
    assert len(recorded) > 3
    for i, done in recorded[1:]:
        safe = max(before for kind, before in events[:i] if kind == "synced")
        ends = sorted(end for kind, end in events[:safe] if kind == "written")
        assert ends[: done // _unfinished.BLOCK] == list(
            range(_unfinished.BLOCK, done + 1, _unfinished.BLOCK)
        )
    ends = sorted(end for kind, end in events if kind == "written")
    assert len(set(ends)) == len(ends)


def test_a_record_half_written_by_a_crash_is_removed_in_the_end(tmp_path, small):
    path = tmp_path / "w.npy"
    with pytest.raises(Stop):
        write_file(path, [tensor()], progress=stop_at(9000))
    (tmp_path / "w.npy.partial.json.new").write_text('{"done": 1')
    write_file(path, [tensor()], resume=True)
    assert path.read_bytes() == saved(RULE((123, 77)))
    assert os.listdir(tmp_path) == ["w.npy"]


def test_an_orthogonal_matrix_starts_again_from_its_beginning():
    plan = Layout(b"x" * 64, (tensor(shape=(1000,)), tensor(pi.Orthogonal(seed=1), (99, 9))))
    start = 64 + 4 * 1000
    assert [plan.resumed(done) for done in (0, 70, start - 1)] == [0, 70, start - 1]
    assert [plan.resumed(done) for done in (start, start + 9, plan.size)] == [start] * 3


@pytest.mark.parametrize(
    ("now", "message"),
    [
        ([tensor(pi.GlorotUniform(seed=8))], "seed was 7, and is now 8"),
        ([tensor(pi.HeUniform(seed=7))], 'init was "GlorotUniform", and is now "HeUniform"'),
        ([tensor(shape=(124, 77))], r"shape was \[123, 77\], and is now \[124, 77\]"),
        ([tensor(dtype="float16")], 'dtype was "float32", and is now "float16"'),
        ([tensor(pi.GlorotUniform(seed=7, gain=2.0))], "gain was null, and is now 2.0"),
        ([tensor(RULE.named("x"))], r'names was \[\], and is now \["x"\]'),
    ],
)
def test_going_on_with_something_else_names_the_difference(now, message, tmp_path, small):
    path = tmp_path / "w.npy"
    with pytest.raises(Stop):
        write_file(path, [tensor()], progress=stop_at(1))
    before = partial_of(path).read_bytes()
    with pytest.raises(ValueError, match="was begun with; " + message):
        write_file(path, now, resume=True)
    assert partial_of(path).read_bytes() == before


def test_differences_of_many_tensors_name_the_tensor():
    assert difference(MANY, MANY) is None
    assert difference(MANY, MANY[1:]) == "tensor 'e' only then"
    assert difference(MANY[1:], MANY) == "tensor 'e' only now"
    other = [tensor(pi.Normal(seed=2).named("e"), (501, 77), "bfloat16", "e"), *MANY[1:]]
    assert difference(MANY, other) == "seed of tensor 'e' was 1, and is now 2"


@pytest.mark.parametrize("init", [*INITS, pi.TruncatedNormal(upper=float("inf"), seed=1 << 100)])
def test_a_description_survives_json(init):
    before = tensor(init, (4, 4))
    assert Tensor.from_description(json.loads(json.dumps(before.describe()))) == before


def test_going_on_needs_an_unfinished_file_and_its_record(tmp_path, small):
    path = tmp_path / "w.npy"
    with pytest.raises(ValueError, match="there is none: start without it"):
        write_file(path, [tensor()], resume=True)
    with pytest.raises(Stop):
        write_file(path, [tensor()], progress=stop_at(1))
    place = Record.place(path)
    text = place.read_text()
    place.write_text(text[:-30])
    with pytest.raises(ValueError, match=r"cannot be read .*: start again with --force"):
        write_file(path, [tensor()], resume=True)
    place.unlink()
    with pytest.raises(ValueError, match=r"needs the record .* start again with --force"):
        write_file(path, [tensor()], resume=True)
    place.write_text(text)
    os.truncate(partial_of(path), 100)
    with pytest.raises(ValueError, match=r"must have .* bytes, and has 100: it was changed"):
        write_file(path, [tensor()], resume=True)


# ---------------------------------------------------------------------------- files that exist


def test_a_file_is_replaced_by_force_only_and_when_the_new_one_is_complete(tmp_path, small):
    path = tmp_path / "w.npy"
    path.write_text("dear")
    with pytest.raises(FileExistsError, match=r"w\.npy must not exist; .*--force"):
        write_file(path, [tensor()])
    with pytest.raises(Stop):
        write_file(path, [tensor()], force=True, progress=stop_at(9000))
    assert path.read_text() == "dear"
    with pytest.raises(FileExistsError, match="--force"):
        write_file(path, [tensor()], resume=True)
    write_file(path, [tensor()], resume=True, force=True)
    assert path.read_bytes() == saved(RULE((123, 77)))


def test_an_unfinished_file_is_not_begun_again_by_accident(tmp_path, small):
    path = tmp_path / "w.npy"
    with pytest.raises(Stop):
        write_file(path, [tensor()], progress=stop_at(1))
    with pytest.raises(FileExistsError, match="go on with it by --resume"):
        write_file(path, [tensor()])
    write_file(path, [tensor(shape=(5,))], force=True)
    assert path.read_bytes() == saved(RULE((5,)))


def test_a_link_stays_and_a_folder_is_refused(tmp_path):
    (tmp_path / "real").mkdir()
    link = tmp_path / "w.npy"
    link.symlink_to(tmp_path / "real" / "v.npy")
    write_file(link, [tensor()])
    assert link.is_symlink()
    assert (tmp_path / "real" / "v.npy").read_bytes() == saved(RULE((123, 77)))
    (tmp_path / "folder.npy").mkdir()
    with pytest.raises(FileExistsError, match="it is a folder"):
        write_file(tmp_path / "folder.npy", [tensor()], force=True)
    with pytest.raises(OSError, match=r"cannot write in .*nowhere: No such file"):
        write_file(tmp_path / "nowhere" / "w.npy", [tensor()])


@pytest.mark.parametrize("options", [{"force": True}, {"resume": True}])
def test_two_processes_never_write_one_file(options, tmp_path, small):
    import fcntl

    path = tmp_path / "w.npy"
    with pytest.raises(Stop):
        write_file(path, [tensor()], progress=stop_at(1))
    with partial_of(path).open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(FileExistsError, match="another process writes"):
            write_file(path, [tensor()], **options)
    write_file(path, [tensor()], **options)


# ---------------------------------------------------------------------------- disks


def failing_pwrite(monkeypatch, number, place):
    """The disk refuses all bytes from `place` on."""
    pwrite = os.pwrite

    def failing(fd, image, where):
        if where >= place:
            raise OSError(number, os.strerror(number))
        return pwrite(fd, image, where)

    monkeypatch.setattr(os, "pwrite", failing)


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "is full .*: .* of 38.01 kB are safe in .*; make room, and go on"),
        (errno.EIO, "could not be written to the end: .*error; .* are safe"),
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
    assert path.read_bytes() == saved(RULE((123, 77)))


def test_a_disk_without_room_for_records_holds_the_file_all_the_same(tmp_path, small, monkeypatch):
    save = Record.save

    def full(self, path, done):
        if done:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(self, path, done)

    monkeypatch.setattr(Record, "save", full)
    write_file(tmp_path / "w.npy", [tensor()])
    assert (tmp_path / "w.npy").read_bytes() == saved(RULE((123, 77)))


@pytest.mark.parametrize("shape", [(1 << 58,), ((1 << 61) - 999,)])
def test_a_file_that_is_too_large_is_refused_at_the_start(shape, tmp_path):
    path = tmp_path / "w.npy"
    with pytest.raises(OSError, match=r"needs [\d,.]+ TB"):
        write_file(path, [tensor(shape=shape)])
    assert os.listdir(tmp_path) == []


def test_direct_writes_that_a_disk_refuses_go_through_the_cache(tmp_path, small, monkeypatch):
    import fcntl

    pwrite = os.pwrite

    def refusing(fd, image, place):
        if fcntl.fcntl(fd, fcntl.F_GETFL) & getattr(os, "O_DIRECT", 0):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return pwrite(fd, image, place)

    monkeypatch.setattr(os, "pwrite", refusing)
    assert not write_file(tmp_path / "w.npy", [tensor()]).direct
    assert (tmp_path / "w.npy").read_bytes() == saved(RULE((123, 77)))


def test_a_system_without_linux_calls_writes_and_reads_the_same(tmp_path, small, monkeypatch):
    for name in ("O_DIRECT", "posix_fallocate", "fdatasync"):
        monkeypatch.delattr(os, name, raising=False)
    monkeypatch.setattr(sys, "platform", "other")
    path = tmp_path / "w.npy"
    assert not write_file(path, [tensor()]).direct
    assert path.read_bytes() == saved(RULE((123, 77)))
    assert verify_file(path, [tensor()])[0].equal
    monkeypatch.setattr(_unfinished, "_free", lambda path: 1000)
    with pytest.raises(OSError, match=r"needs 38\.01 kB on its disk; 1\.00 kB are free"):
        write_file(tmp_path / "v.npy", [tensor()])
    assert os.listdir(tmp_path) == ["w.npy"]


def test_short_writes_are_continued(tmp_path, small, monkeypatch):
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, image, place: pwrite(fd, image[:1000], place))
    write_file(tmp_path / "w.npy", [tensor()])
    assert (tmp_path / "w.npy").read_bytes() == saved(RULE((123, 77)))


MEMORY = """
import sys
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
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    writing, reading = done.stdout.split()
    if "None" in (writing, reading):
        pytest.skip("this system does not tell a process its peak of memory")
    buffers = _writing.BUFFERS * _writing.PIECE
    assert int(writing) < buffers + (8 << 20)
    assert int(reading) < 2 * 4 * _verifying.PIECE + (8 << 20)


def test_the_benchmark_runs(tmp_path, capsys):
    bench = pytest.importorskip("bench_files")
    path = tmp_path / "found.json"
    arguments = ["--folder", str(tmp_path), "--mib", "8", "--memory-mib", "8", "--rounds", "1"]
    assert bench.main([*arguments, "--json", str(path)]) == 0
    assert set(json.loads(path.read_text())["disk_seconds"]) == set(bench.CONTENDERS)
    assert "| dd |" in capsys.readouterr().out
    assert os.listdir(tmp_path) == ["found.json"]
