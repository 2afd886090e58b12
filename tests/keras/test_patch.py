# SPDX-License-Identifier: Apache-2.0
"""accelerate(), install(), uninstall(): who is accelerated, and for how long."""

import asyncio
import threading

import pytest

import philinit
from tests.support.keras_pairs import KI, pk, same

PATCHED = [
    *[KI.RandomUniform, KI.RandomNormal, KI.TruncatedNormal, KI.VarianceScaling],
    *[KI.Orthogonal, KI.Constant, KI.Identity],
]
CALLS = [kind.__call__ for kind in PATCHED]
GLOROT = KI.GlorotUniform(seed=42)((64, 32)).numpy()


def is_restored():
    return all(kind.__dict__["__call__"] is call for kind, call in zip(PATCHED, CALLS, strict=True))


@pytest.fixture(autouse=True)
def _nothing_is_left_behind():
    assert is_restored()
    yield
    pk.uninstall()
    assert is_restored()
    assert [name for kind in PATCHED for name in vars(kind) if "philinit" in name] == []


def accelerated(answered):
    """Whether a call here and now is ours; its bits are Keras's in any case."""
    before = len(answered)
    assert same(KI.GlorotUniform(seed=42)((64, 32)), GLOROT)
    return len(answered) > before


def in_a_thread(function):
    result = []
    thread = threading.Thread(target=lambda: result.append(function()))
    thread.start()
    thread.join()
    return result[0]


def test_blocks_nest_and_restore(answered):
    with pk.accelerate():
        assert accelerated(answered)
        with pk.accelerate(sampler="native"):
            assert not same(KI.GlorotUniform(seed=42)((64, 32)), GLOROT)
            with pk.accelerate():
                assert accelerated(answered)
            assert not same(KI.GlorotUniform(seed=42)((64, 32)), GLOROT)
        assert accelerated(answered)
        assert not is_restored()
    assert is_restored()
    assert not accelerated(answered)


def test_a_block_that_raises_restores(answered):
    with pytest.raises(KeyboardInterrupt), pk.accelerate(), pk.accelerate():
        raise KeyboardInterrupt
    assert is_restored()
    assert not accelerated(answered)


def test_it_decorates_functions(answered):
    @pk.accelerate()
    def build():
        return accelerated(answered)

    assert build()
    assert build()
    assert not accelerated(answered)


def test_a_block_acts_in_its_own_thread_only(answered):
    with pk.accelerate():
        assert not in_a_thread(lambda: accelerated(answered))
        assert accelerated(answered)
    inside, leave = threading.Event(), threading.Event()

    def other():
        with pk.accelerate():
            inside.set()
            leave.wait(60)

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait(60)
    try:
        assert not accelerated(answered)
        assert not is_restored()
    finally:
        leave.set()
        thread.join()


def test_a_block_acts_in_its_own_task_only(answered):
    async def main():
        outside = asyncio.Event()
        inside = asyncio.Event()

        async def other():
            await inside.wait()
            found = accelerated(answered)
            outside.set()
            return found

        async def mine():
            with pk.accelerate():
                inside.set()
                await outside.wait()
                return accelerated(answered)

        return await asyncio.gather(other(), mine())

    assert asyncio.run(main()) == [False, True]


def test_many_threads_at_once():
    wrong = []

    def work(sampler):
        expected = GLOROT
        if sampler == "native":
            expected = philinit.GlorotUniform(seed=42)((64, 32))
        for _ in range(30):
            with pk.accelerate(sampler=sampler):
                if not same(KI.GlorotUniform(seed=42)((64, 32)), expected):
                    wrong.append(sampler)
            if not same(KI.GlorotUniform(seed=42)((64, 32)), GLOROT):
                wrong.append("outside")

    threads = [
        threading.Thread(target=work, args=(sampler,)) for sampler in ["native", "tensorflow"] * 4
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert is_restored()


def test_install_acts_everywhere_until_uninstall(answered):
    pk.install()
    pk.install()
    assert accelerated(answered)
    assert in_a_thread(lambda: accelerated(answered))
    with pk.accelerate(sampler="native"):
        assert not same(KI.GlorotUniform(seed=42)((64, 32)), GLOROT)
    assert accelerated(answered)
    pk.install(sampler="native")
    assert not same(KI.GlorotUniform(seed=42)((64, 32)), GLOROT)
    pk.uninstall()
    assert is_restored()
    assert not accelerated(answered)
    pk.uninstall()
    assert is_restored()


def test_install_inside_a_block_outlives_it(answered):
    with pk.accelerate():
        pk.install()
    assert accelerated(answered)
    with pk.accelerate():
        pk.uninstall()
        assert accelerated(answered)
    assert is_restored()


@pytest.mark.parametrize("call", [pk.install, lambda **k: pk.accelerate(**k).__enter__()])
def test_an_unknown_sampler_changes_nothing(call):
    with pytest.raises(ValueError, match='`sampler` must be "native" or "tensorflow"; got'):
        call(sampler="fast")
    assert is_restored()


def test_what_others_put_around_our_call_is_not_torn_out():
    calls = []
    with pk.accelerate():
        ours = KI.RandomNormal.__call__

        def theirs(self, shape, dtype=None):
            calls.append(shape)
            return ours(self, shape, dtype)

        KI.RandomNormal.__call__ = theirs
    try:
        assert KI.RandomNormal.__call__ is theirs
        KI.RandomNormal(seed=1)((3,))
        assert calls == [(3,)]
    finally:
        KI.RandomNormal.__call__ = CALLS[1]
