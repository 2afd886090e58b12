# SPDX-License-Identifier: Apache-2.0
"""Files of weights: their bytes are NumPy's and safetensors', however they are cut."""

import itertools
import json
import os
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

pytest.importorskip("fcntl", reason="files are written on POSIX systems")

import philinit as pi
from philinit.dtypes import FLOAT8, WIDER
from philinit.files.layouts import layout, stored
from philinit.files.tensors import indices
from philinit.files.verify import verify_file
from philinit.files.write import write_file
from tests.support.weight_files import INIT, INITS, MANY, WANTED, make_small, saved, tensor

SHAPES = [(), (0,), (5,), (0, 3), (3, 0), (123, 77), (7, 5, 3, 11)]


@pytest.fixture
def small(monkeypatch):
    make_small(monkeypatch)


@pytest.mark.parametrize("dtype", WIDER)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_npy_file_has_the_bytes_of_numpy_save(shape, dtype, tmp_path):
    path = tmp_path / "w.npy"
    written = write_file(path, [tensor(shape=shape, dtype=dtype)])
    assert path.read_bytes() == saved(INIT(shape, dtype))
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
    assert path.read_bytes() == saved(INIT((1 << 20, 5)))


def test_bfloat16_is_read_as_documented(tmp_path):
    path = tmp_path / "w.npy"
    write_file(path, [tensor(dtype="bfloat16")])
    for mode in (None, "r"):
        read = np.load(path, mmap_mode=mode).view(ml_dtypes.bfloat16)
        assert np.array_equal(read, INIT((123, 77), "bfloat16"))


def test_a_npy_file_can_be_mapped(tmp_path):
    path = tmp_path / "w.npy"
    write_file(path, [tensor()])
    read = np.load(path, mmap_mode="r")
    assert isinstance(read, np.memmap)
    assert np.array_equal(read[5:9], INIT.shard((123, 77), slice(5, 9)))


def test_a_safetensors_file_is_as_its_format_says(tmp_path, small):
    path = tmp_path / "m.safetensors"
    write_file(path, MANY)
    text = path.read_bytes()
    end = 8 + int.from_bytes(text[:8], "little")
    entries = json.loads(text[8:end])
    assert end % 8 == 0
    offsets = sorted(entry["data_offsets"] for entry in entries.values())
    assert offsets[0][0] == 0 and offsets[-1][1] == len(text) - end
    assert all(a[1] == b[0] for a, b in itertools.pairwise(offsets))  # no gaps, no overlaps
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


def test_float8_goes_into_safetensors_files(tmp_path, small):
    package = pytest.importorskip("safetensors.numpy")
    tensors = [tensor(shape=(123, i + 3), dtype=name, name=name) for i, name in enumerate(FLOAT8)]
    tensors += [tensor(dtype="float8_e4m3fn", name="a"), tensor(dtype="float16", name="b")]
    write_file(tmp_path / "m.safetensors", tensors, threads=2)
    wanted = {t.name: t.init(t.shape, t.dtype) for t in tensors}
    package.save_file(wanted, tmp_path / "theirs.safetensors")
    assert (tmp_path / "m.safetensors").read_bytes() == (
        tmp_path / "theirs.safetensors"
    ).read_bytes()
    assert all(result.equal for result in verify_file(tmp_path / "m.safetensors", tensors))
    assert not verify_file(tmp_path / "m.safetensors", [tensor(dtype="float16", name="a")])[0].equal


@pytest.mark.parametrize("dtype", FLOAT8)
def test_float8_has_no_name_in_npy_files(dtype, tmp_path):
    with pytest.raises(
        ValueError, match=rf"can name; got dtype={dtype}: write a .safetensors file"
    ):
        write_file(tmp_path / "w.npy", [tensor(dtype=dtype)])
    assert os.listdir(tmp_path) == []
    np.save(tmp_path / "w.npy", np.ones(3, ml_dtypes.float8_e4m3fn))
    with pytest.raises(ValueError, match=r"holds \|V1"):
        stored(tmp_path / "w.npy")


@pytest.mark.parametrize("shape", [(7,), (3, 4), (2, 3, 4), (3, 1, 2, 2)])
def test_indices_are_a_run_of_elements(shape):
    size = int(np.prod(shape))
    numbers = np.arange(size).reshape(shape)
    for start, stop in itertools.combinations(range(size + 1), 2):
        found = [numbers[index].reshape(-1) for index in indices(shape, start, stop)]
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
        (lambda: tensor(INIT, (-3,)), "negative"),
        (lambda: tensor(INIT, (1 << 61,)), r"less than 2\*\*63 bytes"),
        (lambda: tensor(INIT, (1 << 61, 1 << 61)), r"less than 2\*\*63 bytes"),
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


def test_the_benchmark_runs(tmp_path, capsys):
    bench = pytest.importorskip("bench_files")
    path = tmp_path / "found.json"
    arguments = ["--folder", str(tmp_path), "--mib", "8", "--memory-mib", "8", "--rounds", "1"]
    assert bench.main([*arguments, "--json", str(path)]) == 0
    assert set(json.loads(path.read_text())["disk_seconds"]) == set(bench.CONTENDERS)
    assert "| dd |" in capsys.readouterr().out
    assert os.listdir(tmp_path) == ["found.json"]
