# SPDX-License-Identifier: Apache-2.0
"""Whatever `out` is, it has the weights and its neighbors their bytes, or nothing is written."""

import array

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import philinit as pi
from philinit.dtypes import NAMES, as_dtype

INIT = pi.GlorotUniform(seed=1)
FOREIGN = ["<i4", ">f4", "<f4", "<c8", "?", "O", "S3", "V5", "M8[s]", "<f8,<f8", "<f2", "<u2"]


class Interface:
    """Tells of memory by ``__array_interface__`` alone."""

    def __init__(self, view):
        self.view = view
        self.__array_interface__ = view.__array_interface__


class Capsule:
    """Tells of memory by DLPack alone."""

    def __init__(self, view):
        self.view = view

    def __dlpack__(self, **how):
        return self.view.__dlpack__(**how)

    def __dlpack_device__(self):
        return self.view.__dlpack_device__()


class Copied:
    """Whose ``__array__`` is a copy: what is written there is lost."""

    def __init__(self, view):
        self.view = view

    def __array__(self, dtype=None, copy=None):
        return self.view.copy()


WRAPPERS = [
    lambda view: view,
    lambda view: view.view(type("Own", (np.ndarray,), {})),
    lambda view: view.view(np.recarray) if view.dtype.names else np.ma.MaskedArray(view),
    np.asmatrix,
    memoryview,
    lambda view: memoryview(view).toreadonly(),
    Interface,
    Capsule,
    Copied,
    np.ndarray.tolist,
    np.ndarray.tobytes,
    lambda view: bytearray(view.tobytes()),
    lambda view: array.array("f", [0.0] * view.size),
    lambda view: np.nditer(view),
    lambda view: view.flat,
    iter,
]

AXES = st.tuples(st.integers(0, 6), st.sampled_from([-2, -1, 1, 2]))


@st.composite
def memories(draw):
    """(bytes, a view into them): of any dtype, at any address, in any order, by any strides."""
    dtype = np.dtype(
        draw(st.one_of(st.sampled_from(FOREIGN), st.sampled_from(NAMES).map(as_dtype)))
    )
    axes = draw(st.lists(AXES, max_size=3))
    lengths = [length * abs(step) for length, step in axes]
    count = int(np.prod(lengths, initial=1))
    if dtype.hasobject:
        return None, np.full(lengths, None, dtype)
    before = draw(st.integers(1, 70))
    raw = np.full(before + count * dtype.itemsize + 70, 0xA5, np.uint8)
    view = raw[before : before + count * dtype.itemsize].view(dtype).reshape(lengths)
    view = view[(*(slice(None, None, step) for _, step in axes), ...)]
    if draw(st.booleans()):
        view = view.T
    if draw(st.integers(0, 7)) == 0:  # two weights in one element
        view = np.ndarray(view.shape, dtype, raw, before, (0,) * view.ndim)
    if draw(st.integers(0, 7)) == 0:
        view.flags.writeable = False
    return raw, view


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # of np.matrix
@settings(max_examples=6000)
@given(memory=memories(), wrap=st.sampled_from(WRAPPERS), low=st.booleans())
def test_any_output_is_filled_or_refused_in_one_sentence(memory, wrap, low):
    raw, view = memory
    try:
        out = wrap(view)
    except (TypeError, ValueError, BufferError):  # there is no such thing
        return
    before = None if raw is None else raw.copy()
    try:
        if low:
            pi.fill(out, pi.distributions.Uniform(-0.5, 0.5), pi.Key.from_seed(3))
        else:
            INIT.fill(out)
    except (TypeError, ValueError, NotImplementedError, BufferError) as error:
        sentence = str(error)
        assert sentence and "\n" not in sentence and len(sentence) < 2000
        assert raw is None or np.array_equal(raw, before)
        return
    if raw is None or isinstance(out, bytearray | array.array):
        assert not isinstance(out, np.ndarray)
        return
    shape = getattr(out, "shape", view.shape)  # a matrix always has two axes
    if low:
        wanted = np.empty(shape, view.dtype)
        pi.fill(wanted, pi.distributions.Uniform(-0.5, 0.5), pi.Key.from_seed(3))
    else:
        wanted = INIT(shape, view.dtype)
    assert view.tobytes() == wanted.tobytes()
    inside = np.zeros(raw.size, bool)
    start = view.__array_interface__["data"][0] - raw.__array_interface__["data"][0]
    for index in np.ndindex(view.shape):
        at = start + sum(i * s for i, s in zip(index, view.strides, strict=True))
        inside[at : at + view.itemsize] = True
    assert np.array_equal(raw[~inside], before[~inside])
