# SPDX-License-Identifier: Apache-2.0
"""What XLA calls on CUDA, with frames as XLA would make them, over the stand-in for CuPy.

No GPU, and no XLA for one: what is held is that the operands come over the program's own stream,
and that the weights are queued on it.
"""

import ctypes
import tempfile

from tests.support.engines.jax_cases import refused  # first: it sets the number of devices

# isort: split
import jax
import numpy as np
import pytest

import philinit as pi
import philinit.jax as pij
from philinit.cuda_views import stream_at
from philinit.jax import ffi, handlers
from philinit.jax.operations import Named
from tests.support import cuda_host
from tests.support import cupy_stand_in as stand_in

INIT, STREAM = pi.HeNormal(seed=1), 0x5000
HANDLER = handlers._handler(handlers._on_cuda)
CODES = {dtype: code for code, dtype in ffi._DTYPES.items()}


class Call:
    """A frame, and the memory that it points to."""

    def __init__(self, cupy, name, shape, words, position, part, dtype="float32"):
        self.held, self.error = [], None
        self.out = cupy.empty(words.shape[:-1] + part, np.dtype(dtype))
        self.api = self.keep(ffi._Api(struct_size=ctypes.sizeof(ffi._Api)))
        self.api.error_create = self.function(self.fail)
        self.api.stream_get = self.function(self.tell_stream)
        frame = self.frame = self.keep(ffi.Frame(struct_size=ctypes.sizeof(ffi.Frame)))
        frame.api, frame.stage, frame.context = ctypes.pointer(self.api), ffi.EXECUTE, 77
        with stream_at(cupy, STREAM):  # the program itself has made them
            operands = [cupy.asarray(array) for array in (words, position)]
        self.held += operands
        frame.arguments = self.buffers(*operands)
        frame.results = self.buffers(self.out)
        numbers = self.keep((ctypes.c_int64 * len(shape))(*shape))
        array = self.keep(ffi._Array(5, len(shape), ctypes.addressof(numbers)))
        text = self.keep(ctypes.create_string_buffer(name.encode()))
        span = self.keep(ffi._Span(ctypes.addressof(text), len(name.encode())))
        values = (ctypes.c_void_p * 2)(ctypes.addressof(array), ctypes.addressof(span))
        frame.attributes.size, frame.attributes.values = 2, self.keep(values)

    def keep(self, thing):
        self.held.append(thing)
        return thing

    def function(self, call):
        return ctypes.cast(self.keep(ffi._CALL(call)), ctypes.c_void_p).value

    def buffers(self, *arrays):
        found = []
        for array in arrays:
            dims = self.keep((ctypes.c_int64 * len(array.shape))(*array.shape))
            code = CODES[np.dtype(array.dtype)]
            fields = {
                "dtype_code": code,
                "data": array.data.ptr,
                "rank": len(array.shape),
                "dims": dims,
            }
            found.append(ctypes.pointer(self.keep(ffi.Buffer(**fields))))
        values = self.keep((ctypes.POINTER(ffi.Buffer) * len(found))(*found))
        return ffi._Buffers(size=len(found), values=values)

    def tell_stream(self, address):
        arguments = ffi._StreamArguments.from_address(address)
        assert arguments.context == 77
        arguments.stream = STREAM

    def fail(self, address):
        self.error = ffi._ErrorArguments.from_address(address).message.decode()
        return 0xBAD

    def __call__(self):
        return HANDLER(ctypes.addressof(self.frame))


def start(rank, port):
    if cuda_host.compiler() is None:
        pytest.skip("needs g++")
    return ()


def weights():
    """A whole tensor, a part of one, and a batch of keys, on the stream of the program."""
    name = handlers.name_of(Named(INIT))
    words, place = np.array([0, 7], np.uint32), np.array([1, 0], np.int32)
    whole = INIT.named(0).named(7)((16, 24))
    with tempfile.TemporaryDirectory() as cache, stand_in.installed(cache) as cupy:
        for keys, position, part, want in (
            (words, 0 * place, (16, 24), whole),
            (words, place, (8, 24), whole[8:]),
            (np.stack([words, words]), place, (8, 24), np.stack([whole[8:]] * 2)),
        ):
            call = Call(cupy, name, (16, 24), keys, position, part)
            stand_in.calls.clear()
            assert not call(), call.error
            assert {launch[3] for launch in stand_in.names("launch")} == {STREAM}
            assert not np.array_equal(call.out._host, want), "the device has not come to it yet"
            stream_at(cupy, STREAM).synchronize()
            assert call.out._host.tobytes() == want.tobytes()
        empty = Call(cupy, name, (0, 24), words, 0 * place, (0, 24))
        assert not empty()


def errors():
    """What CUDA cannot do is XLA's error, in one sentence."""
    init = pi.Normal(seed=1, sampler="tensorflow")
    words, position = np.array([0, 7], np.uint32), np.zeros(1, np.int32)
    with tempfile.TemporaryDirectory() as cache, stand_in.installed(cache) as cupy:
        name = handlers.name_of(Named(init))
        call = Call(cupy, name, (8,), words, position, (8,), "float64")
        assert call() == 0xBAD
        assert call.error.startswith('sampler="tensorflow" draws normals on a cuda device in')
        unknown = Call(cupy, "Named(init=Nobody())", (8,), words, position, (8,))
        assert unknown() == 0xBAD
        assert "weights of Named(init=Nobody()): lower or call" in unknown.error


def programs():
    """A program for CUDA calls the same target."""
    if "cuda" not in handlers.platforms():
        pytest.skip("needs CuPy")
    kernel = pij.initializer(INIT)
    program = jax.export.export(
        jax.jit(lambda: kernel(None, (16, 24))),
        platforms=["cuda"],
        disabled_checks=[jax.export.DisabledSafetyCheck.custom_call(handlers.TARGET)],
    )
    assert handlers.TARGET in program().mlir_module()
    refused(
        lambda: jax.export.export(jax.jit(lambda: kernel(None, (16, 24))))(),
        ValueError,
        handlers.TARGET,
    )
