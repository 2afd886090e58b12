# SPDX-License-Identifier: Apache-2.0
"""Reading files of weights, and comparing every bit of them with what it was."""

import os
import re

import numpy as np
import pytest

pytest.importorskip("fcntl", reason="files are written on POSIX systems")

import philinit as pi
from philinit.dtypes import WIDER, as_dtype
from philinit.files.layouts import stored
from philinit.files.verify import ranges, ulps, verify_file
from philinit.files.write import write_file
from philinit.filling.compare import holds
from philinit.kernels.plan import plan
from tests.support.processes import run_python
from tests.support.weight_files import INITS, MANY, Stop, make_small, stop_at, tensor


@pytest.fixture
def small(monkeypatch):
    make_small(monkeypatch)


# ---------------------------------------------------------------------------- reading


def npy_file(path, array):
    np.save(path, array)
    return path


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.asfortranarray(np.ones((3, 4), np.float32)), "must lie in C order"),
        (np.ones(3, ">f4"), r"native byte order; w\.npy holds >f4"),
        (np.ones(3, np.int32), r"w\.npy holds <i4"),
        (np.ones(3, "V3"), r"w\.npy holds \|V3"),
    ],
)
def test_a_npy_file_of_something_else_is_refused(array, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        stored(npy_file(tmp_path / "w.npy", array))


@pytest.mark.parametrize("name", ["w.npy", "w.safetensors"])
@pytest.mark.parametrize("text", [b"", b"x", b"hello, this is text and no header", b"\xff" * 99])
def test_a_file_of_another_kind_is_refused(name, text, tmp_path):
    path = tmp_path / name
    path.write_bytes(text)
    with pytest.raises(ValueError, match=r"is no .* file"):
        stored(path)


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b"{}}",
        b'{"a": 1}',
        b'{"a": {"dtype": "F32", "shape": [2]}}',
        b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}}',
        b'{"a": {"dtype": "F32", "shape": 2, "data_offsets": [0, 8]}}',
        b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8, 9]}}',
        b'{"a": {"dtype": ["F32"], "shape": [2], "data_offsets": [0, 8]}}',
    ],
)
def test_a_broken_safetensors_header_is_refused(header, tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(100))
    with pytest.raises(ValueError, match=r"is no \.safetensors file"):
        stored(path)


@pytest.mark.parametrize("name", ["w.npy", "m.safetensors"])
def test_a_file_that_ends_early_is_refused(name, tmp_path):
    path = tmp_path / name
    write_file(path, [tensor(name="a")])
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(ValueError, match="ends early"):
        verify_file(path, [tensor(name="a")])


def test_stored_tensors_are_where_numpy_finds_the_elements(tmp_path):
    path = npy_file(tmp_path / "w.npy", np.ones((3, 4), np.float16))
    assert stored(path) == [("", (3, 4), "float16", 128, 24)]
    with path.open("wb") as file:
        np.lib.format.write_array(file, np.ones(3), version=(2, 0))
    assert stored(path)[0][1:3] == ((3,), "float64")


CUT_SHORT = """
import os, sys
from pathlib import Path
import numpy as np, philinit as pi
from philinit.files.tensors import Tensor
from philinit.files.verify import verify_file
path = Path(sys.argv[1])
tensors = [Tensor("", pi.GlorotUniform(seed=7), (1 << 14, 256), np.dtype(np.float32))]
np.save(path, tensors[0].init(tensors[0].shape))
try:
    verify_file(path, tensors, threads=1, progress=lambda done, total: os.truncate(path, 5 << 20))
except OSError as error:
    print(error)
"""


def test_a_file_cut_short_meanwhile_ends_no_process(tmp_path):
    done = run_python(CUT_SHORT, tmp_path / "w.npy")
    assert re.fullmatch(r"the file cannot be read at byte \d+: .*\n", done.stdout)


# ---------------------------------------------------------------------------- verifying


def changed(tmp_path, dtype, change, shape=(123, 77)):
    """The comparison of a file of which `change` has changed the bits, and the bits' positions."""
    wanted = tensor(shape=shape, dtype=dtype)
    array = wanted.init(shape, dtype)
    bits = array.view(f"u{array.itemsize}")
    before = bits.copy()
    change(bits)
    np.save(tmp_path / "w.npy", array)
    (result,) = verify_file(tmp_path / "w.npy", [wanted], threads=3)
    return result, np.argwhere(before != bits)


@pytest.mark.parametrize("dtype", WIDER)
def test_an_untouched_file_is_equal(dtype, tmp_path, small):
    result, _ = changed(tmp_path, dtype, lambda bits: None)
    assert result.equal
    assert result.first is None
    assert not result.changed.any()


@pytest.mark.parametrize("dtype", WIDER)
def test_every_difference_is_counted_and_the_first_one_named(dtype, tmp_path, small):
    rng = np.random.default_rng(5)
    for count in (1, 3, 1000):
        chosen = rng.choice(123 * 77, count, replace=False)

        def change(bits, chosen=chosen):
            bits.reshape(-1)[chosen] ^= 1

        result, where = changed(tmp_path, dtype, change)
        assert result.different == count
        assert result.first.index == tuple(where[0])
        assert result.first.ulps == 1
        rows = np.zeros(123, bool)
        rows[where[:, 0]] = True
        assert np.array_equal(result.changed, rows)


def test_a_table_that_was_trained_has_the_rows_that_were_not(tmp_path, small):
    def train(bits):
        bits[10:100] += 1
        bits[111] += 1

    result, _ = changed(tmp_path, "bfloat16", train)
    assert result.different == 91 * 77
    assert ranges(np.flatnonzero(~result.changed)) == [(0, 9), (100, 110), (112, 122)]


@pytest.mark.parametrize("shape", [(2000, 1), (3, 3000), (1, 1)])
def test_rows_of_any_width(shape, tmp_path, small):
    def change(bits):
        bits[-1, -1] ^= 1

    result, _ = changed(tmp_path, "float32", change, shape)
    assert np.flatnonzero(result.changed).tolist() == [shape[0] - 1]
    assert result.first.index == (shape[0] - 1, shape[1] - 1)


def test_bits_are_compared_and_not_numbers(tmp_path):
    path = tmp_path / "w.npy"
    np.save(path, np.array([0.0, -0.0, 0.0], np.float32))
    (result,) = verify_file(path, [tensor(pi.Zeros(), (3,))])
    assert (result.different, result.first.index, result.first.ulps) == (1, (1,), 0)
    assert (result.first.expected_bits, result.first.found_bits) == ("0x00000000", "0x80000000")
    np.save(path, np.array([0x7FC00000, 0x7FC00001], np.uint32).view(np.float32))
    (result,) = verify_file(path, [tensor(pi.Zeros(), (2,))])
    assert result.different == 2
    assert result.first.ulps is None
    assert np.isnan(result.first.found)


def test_every_initializer_and_dtype_is_equal_to_its_own_file(tmp_path, small):
    write_file(tmp_path / "m.safetensors", MANY)
    assert all(result.equal for result in verify_file(tmp_path / "m.safetensors", MANY))
    for i, init in enumerate(INITS):
        write_file(tmp_path / f"{i}.npy", [tensor(init)])
        assert verify_file(tmp_path / f"{i}.npy", [tensor(init)], threads=2)[0].equal


def test_tensors_that_a_file_has_otherwise_are_a_difference(tmp_path):
    path = tmp_path / "m.safetensors"
    write_file(path, [tensor(name="a"), tensor(name="b")])
    found = verify_file(
        path,
        [
            tensor(name="b"),
            tensor(name="c"),
            tensor(shape=(77, 123), name="a"),
            tensor(dtype="float16", name="a"),
        ],
    )
    assert [result.equal for result in found] == [True, False, False, False]
    assert [result.problem for result in found] == [
        "",
        "not in the file",
        "float32 of shape (123, 77) in the file, not float32 of shape (77, 123)",
        "float32 of shape (123, 77) in the file, not float16 of shape (123, 77)",
    ]


@pytest.mark.parametrize("dtype", WIDER)
def test_ulps_count_the_numbers_between_two(dtype):
    kind = as_dtype(dtype)

    def bits(value):
        return int(np.array(value, kind).view(f"u{kind.itemsize}"))

    tiny = {"float64": 5e-324, "float32": 1e-45, "float16": 6e-8, "bfloat16": 9.2e-41}[dtype]
    assert ulps(bits(1.0), bits(1.0), kind) == 0
    assert ulps(bits(0.0), bits(-0.0), kind) == 0
    assert ulps(bits(tiny), bits(-tiny), kind) == 2
    steps = {"float64": 52, "float32": 23, "float16": 10, "bfloat16": 7}[dtype]
    assert ulps(bits(1.0), bits(2.0), kind) == ulps(bits(-2.0), bits(-1.0), kind) == 1 << steps


STREAMS = [(pi.Uniform(seed=5), dtype) for dtype in (*WIDER, "float8_e4m3fn")]
STREAMS += [(pi.Normal(seed=5), "float32"), (pi.TruncatedNormal(seed=5), "bfloat16")]
STREAMS += [(pi.TruncatedNormal(seed=5, sampler="tensorflow"), "float32")]


@pytest.mark.parametrize(("init", "dtype"), STREAMS)
def test_kernels_tell_every_bit_wherever_memory_begins(init, dtype):
    kind, size = as_dtype(dtype), 5000
    weights = init((size + 9,), kind)
    drawn = plan(init.distribution_for(()), kind, init.sampler)
    for offset, shift in [(0, 0), (1, 64), (2, 4), (3, 1), (9, 0)]:  # elements, bytes
        memory = np.zeros(shift + size * kind.itemsize + 1, np.uint8)
        found = memory[shift : shift + size * kind.itemsize].view(kind)
        found[:] = weights[offset : offset + size]
        compared = (found, drawn, init.key, offset)
        assert holds(*compared)
        bits = found.view(np.uint8)
        for byte in [0, 1, 63, 64, 2047, 2048, bits.size // 2, bits.size - 65, bits.size - 1]:
            for bit in (1, 128):
                bits[byte] ^= bit
                assert not holds(*compared)
                bits[byte] ^= bit
        assert holds(*compared)
        for count in (0, 1, 3, 7):
            assert holds(found[:count], drawn, init.key, offset)


def test_ctrl_c_ends_a_verification(tmp_path, small):
    write_file(tmp_path / "w.npy", [tensor()])
    with pytest.raises(Stop):
        verify_file(tmp_path / "w.npy", [tensor()], threads=1, progress=stop_at(1))
