# SPDX-License-Identifier: Apache-2.0
"""Threads of a call: how many by default, at most, where none is to be had, and at the very end."""

import _thread
import gc
import threading
import time
import weakref

import numpy as np
import pytest

import philinit as pi
from philinit.filling import quota as quotas
from philinit.filling import threads
from philinit.tools.measure.machine import cpus
from tests.support.processes import run_python

UNIFORM, KEY = pi.distributions.Uniform(-1.0, 1.0), pi.Key.from_seed(5)
SIZE = 3_000_000
WHOLE = pi.fill(np.empty(SIZE, np.float32), UNIFORM, KEY, threads=1)


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
)
def test_a_containers_quota_counts(files, quota, tmp_path, monkeypatch):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(quotas, "CGROUP", tmp_path)
    monkeypatch.setattr(quotas, "affinity", lambda: 8)
    monkeypatch.delenv("PHILINIT_NUM_THREADS", raising=False)
    quotas._quota.cache_clear()
    assert threads.default_threads() == cpus() == (quota or 8)
    quotas._quota.cache_clear()


def test_millions_of_threads_are_as_many_as_there_is_work_for(monkeypatch):
    begun, start = [], threads.start_new_thread
    monkeypatch.setattr(threads, "start_new_thread", lambda *a: begun.append(1) or start(*a))
    monkeypatch.setattr(threads, "_parked", [])
    out = pi.fill(np.empty(SIZE, np.float32), UNIFORM, KEY, threads=3_000_000)
    assert np.array_equal(out, WHOLE)
    assert len(begun) <= threads.LIMIT


def test_where_no_thread_is_to_be_had_the_caller_does_it_alone_and_keeps_nothing(monkeypatch):
    def refused(*_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threads, "start_new_thread", refused)
    monkeypatch.setattr(threads, "_parked", [])
    out = np.empty(SIZE, np.float32)
    assert np.array_equal(pi.fill(out, UNIFORM, KEY, threads=8), WHOLE)
    kept = weakref.ref(out)
    del out
    gc.collect()
    assert kept() is None


def test_helpers_are_called_again_and_keep_nothing():
    out = np.empty(SIZE, np.float32)
    pi.fill(out, UNIFORM, KEY, threads=8)
    before = _thread._count()
    for _ in range(50):
        pi.fill(out, UNIFORM, KEY, threads=8)
    assert _thread._count() <= before + 7
    kept = weakref.ref(out)
    del out
    deadline = time.monotonic() + 5
    while kept() is not None and time.monotonic() < deadline:  # a helper's last line may be to come
        gc.collect()
    assert kept() is None


def test_an_error_in_a_helper_is_the_callers(monkeypatch):
    class Task:
        count = 10

        def chunks(self, size):
            return iter([(i, i + 1) for i in range(10)])

        def write(self, begin, end):
            if threading.current_thread() is not threading.main_thread():
                raise RuntimeError("a kernel has failed")
            time.sleep(0.01)
            return 1

    with pytest.raises(RuntimeError, match="a kernel has failed"):
        threads.run(Task(), 1, 3, None)


@pytest.mark.parametrize("when", ["atexit", "thread"])
def test_a_fill_when_the_main_thread_has_ended(when):
    done = run_python(
        """
        import atexit, sys, threading, time
        import numpy as np
        import philinit as pi

        def late():
            if sys.argv[1] == "thread":
                threading.main_thread().join()
                time.sleep(0.05)
            out = pi.fill(np.empty(3_000_000, np.float32), pi.distributions.Uniform(-1.0, 1.0),
                          pi.Key.from_seed(5), threads=4)
            print(float(out[0]), float(out[-1]))

        atexit.register(late) if sys.argv[1] == "atexit" else threading.Thread(target=late).start()
        """,
        when,
    )
    assert done.stdout.split() == [str(float(WHOLE[0])), str(float(WHOLE[-1]))]
