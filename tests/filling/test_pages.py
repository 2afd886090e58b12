# SPDX-License-Identifier: Apache-2.0
"""pages: the whole huge pages of new memory are advised, nothing outside, nothing of a user's."""

import numpy as np
import pytest

import philinit as pi
from philinit.filling import memory, pages
from tests.support.pages import HUGE, advised, mapped, needs_huge_pages, whole_pages

INIT = pi.GlorotUniform(seed=1)
SIZE = 16 << 20


@pytest.fixture
def block():
    """Address of new memory of 16 MiB that starts in the midst of a huge page."""
    with mapped(SIZE + 2 * HUGE) as raw:
        view = np.frombuffer(raw, np.uint8)
        yield memory.address(view) // HUGE * HUGE + HUGE + 4096
        del view  # the mapping could not be closed


@needs_huge_pages
@pytest.mark.parametrize("before", [0, 64, HUGE - 64, HUGE])
@pytest.mark.parametrize("nbytes", [pages.LEAST, pages.LEAST + 64, 5 << 20, 9_000_001])
def test_whole_huge_pages_are_advised_and_nothing_outside(block, before, nbytes):
    start = block + before
    pages.advise(start, nbytes)
    ((low, high),) = whole_pages(start, nbytes)
    assert 0 <= low < high <= nbytes
    assert high - low >= nbytes - 2 * HUGE
    assert advised(block, SIZE) == [(before + low, before + high)]


@needs_huge_pages
@pytest.mark.parametrize("nbytes", [0, 1, 4096, pages.LEAST - 1])
def test_small_memory_is_left_alone(block, nbytes, monkeypatch):
    monkeypatch.setattr(pages, "wanted", lambda: pytest.fail("even the question costs time"))
    pages.advise(block, nbytes)
    assert advised(block, SIZE) == []


@needs_huge_pages
def test_a_variable_turns_it_off(block, monkeypatch):
    monkeypatch.setenv("PHILINIT_HUGE_PAGES", "0")
    pages.advise(block, SIZE)
    assert advised(block, SIZE) == []
    monkeypatch.setenv("PHILINIT_HUGE_PAGES", "1")
    pages.advise(block, SIZE)
    assert advised(block, SIZE) == whole_pages(block, SIZE)


@pytest.mark.parametrize("value", ["", "no", "2"])
def test_another_value_is_refused(value, monkeypatch):
    monkeypatch.setenv("PHILINIT_HUGE_PAGES", value)
    message = f"PHILINIT_HUGE_PAGES must be 0 or 1, or not set; got PHILINIT_HUGE_PAGES={value}"
    with pytest.raises(ValueError) as caught:
        pages.advise(1 << 40, SIZE)
    assert str(caught.value) == message


def test_a_system_that_refuses_is_no_error():
    with mapped(SIZE) as raw:
        view = np.frombuffer(raw, np.uint8)
        start = memory.address(view)
        del view
    pages.advise(start, SIZE)  # unmapped: ENOMEM


@pytest.mark.parametrize("lacking", ["advice", "function", "library"])
def test_a_system_without_it_is_no_error(lacking, monkeypatch):
    def library(name):
        if lacking == "library":
            raise OSError("no such library")
        return object()

    if lacking == "advice":
        monkeypatch.delattr(pages.mmap, "MADV_HUGEPAGE", raising=False)
    else:
        monkeypatch.setattr(pages.mmap, "MADV_HUGEPAGE", 14, raising=False)
        monkeypatch.setattr(pages.ctypes, "CDLL", library)
    pages._madvise.cache_clear()
    try:
        pages.advise(1 << 40, SIZE)
        assert pages._madvise() is None
    finally:
        pages._madvise.cache_clear()


# --- who is asked for, and who is not ------------------------------------------------------------


@needs_huge_pages
def test_new_arrays_are_advised_by_numpy():
    array = INIT((2048, 1024))
    start = memory.address(array)
    ((low, high),) = whole_pages(start, array.nbytes)
    assert any(a <= low and high <= b for a, b in advised(start, array.nbytes))


@needs_huge_pages
@pytest.mark.parametrize("fill", [INIT.fill, lambda out: INIT(out.shape, out=out)])
def test_memory_of_a_user_is_left_alone(fill):
    with mapped(SIZE) as raw:
        view = np.frombuffer(raw, np.float32).reshape(1024, -1)
        fill(view)
        assert advised(memory.address(view), SIZE) == []
        assert view.any()
        del view
