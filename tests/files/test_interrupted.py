# SPDX-License-Identifier: Apache-2.0
"""An unfinished file is gone on with, or not, by what its record says."""

import json
import os

import numpy as np
import pytest

pytest.importorskip("fcntl", reason="files are written on POSIX systems")

import philinit as pi
from philinit.files import unfinished
from philinit.files.layouts import Layout, layout
from philinit.files.resume import Record, difference, partial_of, record_of
from philinit.files.tensors import Tensor
from philinit.files.write import write_file
from tests.support.weight_files import INIT, INITS, MANY, Stop, make_small, saved, stop_at, tensor


@pytest.fixture
def small(monkeypatch):
    make_small(monkeypatch)


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

    def logged_pwrite(fd, image, start):
        count = pwrite(fd, image, start)
        events.append(("written", start + count))
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
        assert ends[: done // unfinished.BLOCK] == list(
            range(unfinished.BLOCK, done + 1, unfinished.BLOCK)
        )
    ends = sorted(end for kind, end in events if kind == "written")
    assert len(set(ends)) == len(ends)


def test_a_record_half_written_by_a_crash_is_removed_in_the_end(tmp_path, small):
    path = tmp_path / "w.npy"
    with pytest.raises(Stop):
        write_file(path, [tensor()], progress=stop_at(9000))
    (tmp_path / "w.npy.partial.json.new").write_text('{"done": 1')
    write_file(path, [tensor()], resume=True)
    assert path.read_bytes() == saved(INIT((123, 77)))
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
        ([tensor(INIT.named("x"))], r'names was \[\], and is now \["x"\]'),
    ],
)
def test_going_on_with_something_else_names_the_difference(now, message, tmp_path, small):
    path = tmp_path / "w.npy"
    with pytest.raises(Stop):
        write_file(path, [tensor()], progress=stop_at(1))
    before = partial_of(path).read_bytes()
    with pytest.raises(ValueError, match="was started with; " + message):
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
    record = record_of(path)
    text = record.read_text()
    record.write_text(text[:-30])
    with pytest.raises(ValueError, match=r"cannot be read .*: start again with --force"):
        write_file(path, [tensor()], resume=True)
    record.unlink()
    with pytest.raises(ValueError, match=r"needs the record .* start again with --force"):
        write_file(path, [tensor()], resume=True)
    record.write_text(text)
    os.truncate(partial_of(path), 100)
    with pytest.raises(ValueError, match=r"must have .* bytes, and has 100: it was changed"):
        write_file(path, [tensor()], resume=True)


# ---------------------------------------------------------------------------- files that exist


def test_a_file_is_replaced_by_force_only_and_when_the_new_one_is_complete(tmp_path, small):
    path = tmp_path / "w.npy"
    path.write_text("dear")
    with pytest.raises(FileExistsError, match=r"w\.npy exists already: --force replaces it"):
        write_file(path, [tensor()])
    with pytest.raises(Stop):
        write_file(path, [tensor()], force=True, progress=stop_at(9000))
    assert path.read_text() == "dear"
    with pytest.raises(FileExistsError, match="--force"):
        write_file(path, [tensor()], resume=True)
    write_file(path, [tensor()], resume=True, force=True)
    assert path.read_bytes() == saved(INIT((123, 77)))


def test_an_unfinished_file_is_not_begun_again_by_accident(tmp_path, small):
    path = tmp_path / "w.npy"
    with pytest.raises(Stop):
        write_file(path, [tensor()], progress=stop_at(1))
    with pytest.raises(FileExistsError, match="continue it with --resume"):
        write_file(path, [tensor()])
    write_file(path, [tensor(shape=(5,))], force=True)
    assert path.read_bytes() == saved(INIT((5,)))


def test_a_link_stays_and_a_folder_is_refused(tmp_path):
    (tmp_path / "real").mkdir()
    link = tmp_path / "w.npy"
    link.symlink_to(tmp_path / "real" / "v.npy")
    write_file(link, [tensor()])
    assert link.is_symlink()
    assert (tmp_path / "real" / "v.npy").read_bytes() == saved(INIT((123, 77)))
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
