# SPDX-License-Identifier: Apache-2.0
"""Files of weights with anything in them, and links: one sentence, and nothing else overwritten."""

import json
import os
import random

import numpy as np
import pytest

pytest.importorskip("fcntl", reason="files are written on POSIX systems")

import philinit as pi
from philinit.files import unfinished
from philinit.files.layouts import layout, stored
from philinit.files.resume import Record, partial_of, record_of
from philinit.files.verify import verify_file
from philinit.files.write import write_file
from philinit.filling import threads
from tests.support.processes import run_python
from tests.support.weight_files import INIT, MANY, Stop, make_small, saved, stop_at, tensor

INPUTS = 5000


def begun(path, tensors, share=0.5):
    """An unfinished file, stopped at this share of it."""
    with pytest.raises(Stop):
        write_file(path, tensors, progress=stop_at(share * layout(path, tensors).size))
    return json.loads(record_of(path).read_text())


# ---------------------------------------------------------------------------- files that shrink

SHRUNK = """
import os, sys, threading, time
from pathlib import Path
import numpy as np, philinit as pi
from philinit.files.tensors import Tensor
from philinit.files.verify import verify_file
path = Path(sys.argv[1])
tensors = [Tensor("", pi.GlorotUniform(seed=7), (1 << 13, 256), np.dtype(np.float32))]
image = tensors[0].init(tensors[0].shape)
for number in range(30):
    np.save(path, image)
    cut = threading.Timer(number * 1e-4, os.truncate, (path, 5000 * number))
    cut.start()
    try:
        (found,) = verify_file(path, tensors, threads=2)
        if not found.equal:  # a system zeroes the rest of the last page while it may be read
            row, column = found.first.index
            assert 128 + 4 * (256 * row + column) >= 5000 * number, found
            assert found.first.found_bits.strip("0x") == "", found
    except ValueError:  # cut short when the header was read
        pass
    except OSError as error:
        assert "cannot be read at byte" in str(error), error
    cut.join()
print("alive")
"""


def test_a_file_that_shrinks_at_any_moment_ends_no_process(tmp_path):
    assert run_python(SHRUNK, tmp_path / "w.npy").stdout == "alive\n"


def test_threads_of_a_verification_are_capped(tmp_path):
    write_file(tmp_path / "w.npy", [tensor()])
    assert verify_file(tmp_path / "w.npy", [tensor()], threads=3_000_000)[0].equal


# ---------------------------------------------------------------------------- threads, children


def test_where_no_thread_is_to_be_had_the_caller_writes_alone(tmp_path, monkeypatch):
    def refused(*_):
        raise RuntimeError("can't start new thread")

    make_small(monkeypatch)
    monkeypatch.setattr(threads, "start_new_thread", refused)
    monkeypatch.setattr(threads, "_parked", [])
    write_file(tmp_path / "m.safetensors", MANY, threads=8)
    assert all(result.equal for result in verify_file(tmp_path / "m.safetensors", MANY))


FORKED = """
import os, sys
from pathlib import Path
import numpy as np, philinit as pi
from philinit.files import unfinished, write
from philinit.files.tensors import Tensor
from philinit.files.verify import verify_file
path, parent, children = Path(sys.argv[1]), os.getpid(), []
write.PIECE = 32 * unfinished.BLOCK
tensors = [Tensor("", pi.GlorotUniform(seed=7), (1500, 1000), np.dtype(np.float32))]

def progress(done, total):
    if os.getpid() == parent and len(children) < 5 and done:
        child = os.fork()
        if child:
            children.append(child)

try:
    write.write_file(path, tensors, progress=progress)
except RuntimeError as error:  # in a child
    told = "must be written by the process that began it" in str(error)
    write.write_file(path.with_name(f"{os.getpid()}.npy"), tensors)  # as its parent does
    os._exit(0 if told else 1)
assert os.getpid() == parent
for child in children:
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, status
for file in (path, *(path.with_name(f"{child}.npy") for child in children)):
    assert verify_file(file, tensors)[0].equal
assert len(os.listdir(path.parent)) == 1 + len(children)
print(len(children))
"""


def test_a_child_forked_in_progress_leaves_the_file_to_its_parent(tmp_path):
    assert int(run_python(FORKED, tmp_path / "w.npy").stdout) == 5


# ---------------------------------------------------------------------------- records


@pytest.mark.parametrize("done", ["size", 8192, 0])
def test_a_record_that_says_more_than_the_file_has_is_refused(done, tmp_path, monkeypatch):
    make_small(monkeypatch)
    path = tmp_path / "w.npy"
    record = begun(path, [tensor()], 0)
    size = partial_of(path).stat().st_size
    partial_of(path).write_bytes(bytes(size))
    record["done"] = record["size"] if done == "size" else done
    record_of(path).write_text(json.dumps(record))
    if done:
        with pytest.raises(ValueError, match="as its record says, and does not: start again"):
            write_file(path, [tensor()], resume=True)
        assert partial_of(path).read_bytes() == bytes(size)
    else:
        write_file(path, [tensor()], resume=True)
        assert path.read_bytes() == saved(INIT((123, 77)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"done": 1 << 40},
        {"done": -4096},
        {"done": True},
        {"done": float("inf")},
        {"size": 1 << 40, "done": 1 << 39},
        {"size": 10},
        {"tensors": []},
    ],
)
def test_a_record_against_the_plan_is_refused(wrong, tmp_path, monkeypatch):
    make_small(monkeypatch)
    path = tmp_path / "w.npy"
    record_of(path).write_text(json.dumps({**begun(path, [tensor()]), **wrong}))
    with pytest.raises(ValueError, match=r"cannot be read|must have|started with"):
        write_file(path, [tensor()], resume=True)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 1.0])
def test_what_is_compared_before_going_on_is_what_was_written(share, tmp_path, monkeypatch):
    make_small(monkeypatch)
    monkeypatch.setattr(unfinished, "CHECKED", 1 << 13)
    path = tmp_path / "m.safetensors"
    begun(path, MANY, share)
    write_file(path, MANY, resume=True)
    assert all(result.equal for result in verify_file(path, MANY))


# ---------------------------------------------------------------------------- links


@pytest.mark.parametrize("suffix", [".partial", ".partial.json", ".partial.json.new"])
@pytest.mark.parametrize("kind", [os.symlink, os.link])
@pytest.mark.parametrize("force", [False, True])
def test_what_a_link_names_is_never_overwritten(suffix, kind, force, tmp_path):
    dear, path = tmp_path / "dear", tmp_path / "w.npy"
    dear.write_text("dear")
    kind(dear, tmp_path / ("w.npy" + suffix))
    if suffix == ".partial":
        with pytest.raises(FileExistsError, match=r"remove it|--force"):
            write_file(path, [tensor()], force=force)
    else:
        write_file(path, [tensor()], force=force)
        assert path.read_bytes() == saved(INIT((123, 77)))
    assert dear.read_text() == "dear"


@pytest.mark.parametrize("force", [False, True])
def test_a_link_to_nothing_makes_nothing(force, tmp_path):
    (tmp_path / "w.npy.partial").symlink_to(tmp_path / "nothing")
    with pytest.raises(FileExistsError):
        write_file(tmp_path / "w.npy", [tensor()], force=force)
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("kind", [os.symlink, os.link])
def test_going_on_follows_no_link(kind, tmp_path, monkeypatch):
    make_small(monkeypatch)
    path = tmp_path / "w.npy"
    begun(path, [tensor()])
    partial_of(path).rename(tmp_path / "other")
    kind(tmp_path / "other", partial_of(path))
    before = (tmp_path / "other").read_bytes()
    with pytest.raises(FileExistsError, match="remove it"):
        write_file(path, [tensor()], resume=True)
    assert (tmp_path / "other").read_bytes() == before


def test_a_pipe_in_the_place_of_the_record_is_not_waited_for(tmp_path, monkeypatch):
    make_small(monkeypatch)
    path = tmp_path / "w.npy"
    begun(path, [tensor()])
    record_of(path).unlink()
    os.mkfifo(record_of(path))
    with pytest.raises(ValueError, match="is no file: start again with --force"):
        write_file(path, [tensor()], resume=True)
    write_file(path, [tensor()], force=True)
    assert path.read_bytes() == saved(INIT((123, 77)))


# ---------------------------------------------------------------------------- anything in them


def npy(header):
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


def safetensors(header):
    return len(header).to_bytes(8, "little") + header


def read_or_told(path, data):
    """Whether `data` is read; if not, in one sentence."""
    path.write_bytes(data)
    try:
        found = stored(path)
    except ValueError as error:
        assert_sentence(error)
        return False
    for one in found:
        assert one.start >= 0 and one.nbytes >= 0
        assert one.start + one.nbytes <= len(data)
    return True


def assert_sentence(error):
    text = str(error)
    assert text.isprintable(), text
    assert len(text) < 1000, text


DEEP = 100_000
HEADERS = {
    "w.npy": [
        npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': " + text + b"}\n")
        for text in (b"(" * 4000, b"(3,\n\n'''", b"(-3,)", b"(True,)", b"(" + b"9" * 4000 + b",)")
    ]
    + [
        npy(b"{'descr': " + text + b", 'fortran_order': False, 'shape': (3,)}\n")
        for text in (b"'(2,'", b"[('a',)]", b"'" + b"(" * 4000 + b"'", b"'\x1b[31m'", b"3")
    ]
    + [npy(text) for text in (b"[" * 9000, b"-" * 9000, b"3L + '", b"\xff", b"\x00")],
    "m.safetensors": [
        safetensors(text)
        for text in (
            b"[" * DEEP,
            b'{"a":' * DEEP,
            b'{"a": ' + b"[" * DEEP + b"]" * DEEP + b"}",
            b'{"a": {"dtype": "\\u001b[31m", "shape": [], "data_offsets": [0, 0]}}',
            b'{"a": {"dtype": "F32", "shape": [1e999], "data_offsets": [0, 0]}}',
            b'{"a": {"dtype": "F32", "shape": [' + b"9" * 5000 + b'], "data_offsets": [0, 0]}}',
            b'{"a": {"dtype": "F32", "shape": [0, ' + b"9" * 99 + b'], "data_offsets": [0, 0]}}',
        )
    ],
}


@pytest.mark.parametrize("name", list(HEADERS))
def test_headers_that_break_parsers_are_told_in_a_sentence(name, tmp_path):
    for data in HEADERS[name]:
        assert not read_or_told(tmp_path / name, data), data[:200]


def mutated(rng, data, words):
    """`data` with some bytes changed, taken out, doubled, or replaced by one of `words`."""
    data = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        i = rng.randrange(len(data) + 1)
        j = min(len(data), i + rng.choice([0, 1, 1, 2, 8]))
        piece = rng.choice([bytes([rng.randrange(256)]), rng.choice(words), data[i:j] * 2, b""])
        data[i:j] = piece
    return bytes(data)


WORDS = [b"(", b"[" * 500, b"{", b"}", b"-", b"1e999", b"9" * 30, b"9" * 5000, b"None", b"null"]
WORDS += [
    b"true",
    b"NaN",
    b"'",
    b'"',
    b"\\",
    b"\n",
    b"\x1b[31m",
    b"\\u001b",
    b"\\ud800",
    b"0",
    b",",
]
WORDS += [b'"Initializer"', b'"shape"', b'"dtype"', b'"seed"', b'"(2,"', b"<f4", b"L", b"#", b":"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["w.npy", "m.safetensors"])
def test_headers_of_anything_are_read_or_told_in_a_sentence(name, tmp_path):
    rng, path = random.Random(12), tmp_path / name
    tensors = [tensor(shape=(3, 5))] if name == "w.npy" else MANY[1:3] + MANY[-3:]
    write_file(path, tensors)
    plan = layout(path, tensors)
    data, head = path.read_bytes(), len(plan.header)
    frame, skip = (npy, 10) if name == "w.npy" else (safetensors, 8)
    read = 0
    for _ in range(INPUTS):
        header = mutated(rng, data[skip:head], WORDS)
        whole = (
            frame(header)
            if rng.random() < 0.8 and len(header) < 1 << 16
            else mutated(rng, data[:head], WORDS)
        )
        read += read_or_told(path, whole + data[head:])
    assert 0 < read < INPUTS


@pytest.mark.slow
def test_records_of_anything_are_gone_on_with_or_told_in_a_sentence(tmp_path, monkeypatch):
    make_small(monkeypatch)
    rng, path = random.Random(16), tmp_path / "w.npy"
    tensors = [tensor(pi.TruncatedNormal(seed=3))]
    begun(path, tensors)
    good, read = record_of(path).read_bytes(), 0
    for _ in range(INPUTS):
        record_of(path).write_bytes(mutated(rng, good, WORDS))
        try:
            Record.load(path)
            read += 1
        except ValueError as error:
            assert_sentence(error)
    assert 0 < read < INPUTS
    record_of(path).write_bytes(good)
    write_file(path, tensors, resume=True)
    assert np.array_equal(np.load(path), tensors[0].init((123, 77)))
