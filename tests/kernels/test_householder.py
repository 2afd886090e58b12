# SPDX-License-Identifier: Apache-2.0
"""G2: orthogonal matrices have the bits of the oracle, for any number of threads."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from typing import Any

import numpy as np
import pytest

import philinit as pi
from philinit.filling.reflections import orthonormal_columns
from tests.support import reference as r
from tests.support import reference_orthogonal as ro

GOLDEN = json.loads((r.DATA / "orthogonal.json").read_text())


def made(shape: tuple[int, ...], name: str, **call: Any) -> r.Array:
    result: r.Array = pi.Orthogonal(ro.GAIN, seed=ro.SEED)(shape, name, **call)
    return result


def matrix(rows: int, columns: int, name: str = "float32", threads: int = 2) -> r.Array:
    w = np.empty((rows, columns), name)
    orthonormal_columns(w, 1.0, pi.Key.from_seed(4), threads)
    return w


def test_g2_golden_matrices() -> None:
    assert GOLDEN["seed"] == ro.SEED and GOLDEN["gain"] == ro.GAIN
    assert ro.hashes(made) == GOLDEN["sha256"]


@pytest.mark.parametrize("name", ro.NAMES)
@pytest.mark.parametrize("shape", [(1, 1), (24, 24), (25, 23), (3, 3, 4, 20), (11, 30), (97, 5)])
def test_g2_bits_of_the_oracle(shape: tuple[int, ...], name: str) -> None:
    assert made(shape, name).tobytes() == ro.weights(shape, name).tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(96, 96), (120, 101), (210, 194)])
def test_g2_bits_of_the_oracle_in_several_panels(shape: tuple[int, ...], name: str) -> None:
    assert made(shape, name).tobytes() == ro.weights(shape, name).tobytes()


def test_the_oracle_is_the_product_of_its_reflections() -> None:
    """A plain one, reflection by reflection: no panels, no T."""
    rows, columns = 40, 31
    normals = r.weights(pi.distributions.Normal(), r.FLOAT64, pi.Key.from_seed(1), 0, 40 * 31)
    plain = np.eye(rows, columns)
    for j in reversed(range(columns)):
        v = normals.reshape(rows, columns)[:, j].copy()
        v[:j] = 0.0
        sign = -1.0 if v[j] > 0 else 1.0
        v[j] -= sign * np.linalg.norm(v)
        plain[:, j] *= sign
        plain -= np.outer(v, 2.0 / (v @ v) * (v @ plain))
    found = ro.orthonormal(r.FLOAT64, rows, columns, pi.Key.from_seed(1))
    np.testing.assert_allclose(found, plain, atol=1e-14)


@pytest.mark.parametrize("name", ["float32", "float64"])
@pytest.mark.parametrize("sizes", [(300, 300), (1000, 97), (193, 150)])
def test_g1_any_number_of_threads(sizes: tuple[int, int], name: str) -> None:
    wanted = matrix(*sizes, name, threads=1)
    for threads in (2, 3, 7):
        assert matrix(*sizes, name, threads).tobytes() == wanted.tobytes()


def test_g1_concurrent_callers() -> None:
    wanted, found = matrix(250, 200, threads=1), []

    def call() -> None:
        found.extend(matrix(250, 200, threads=3).tobytes() for _ in range(5))

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [wanted.tobytes()] * 20


@pytest.mark.parametrize("skew", [1, 4, 28])
def test_g1_any_alignment_and_nothing_beyond(skew: int) -> None:
    sizes, size = (150, 130), 150 * 130 * 4
    memory = np.full(size + 192, 0xA5, np.uint8)
    begin = 64 + skew
    w = memory[begin : begin + size].view(np.float32).reshape(sizes)
    orthonormal_columns(w, 1.0, pi.Key.from_seed(4), 2)
    assert w.tobytes() == matrix(*sizes).tobytes()
    assert (memory[:begin] == 0xA5).all() and (memory[begin + size :] == 0xA5).all()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:RuntimeWarning")  # of JAX, where a test has imported it
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # of Python 3.12, beside threads
def test_a_child_forked_on_the_way_makes_the_whole_matrix() -> None:
    wanted, children = matrix(400, 300).tobytes(), []

    def fork(done: int, total: int) -> None:
        if not children:
            children.append(os.fork())

    w = np.empty((400, 300), np.float32)
    orthonormal_columns(w, 1.0, pi.Key.from_seed(4), 3, fork)
    equal = w.tobytes() == wanted
    if children[0] == 0:
        os._exit(0 if equal else 1)
    assert equal and os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
def test_ctrl_c_stops_within_a_fifth_of_a_second() -> None:
    wanted, sent = matrix(300, 300).tobytes(), []

    def interrupt() -> None:
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.1, interrupt)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        matrix(8192, 8192)
    assert time.perf_counter() - sent[0] < 0.2
    assert matrix(300, 300).tobytes() == wanted


def test_progress_tells_the_share_of_the_work() -> None:
    told: list[tuple[int, int]] = []
    out = np.empty((500, 400), np.float32)
    pi.Orthogonal(seed=1).fill(out, progress=lambda *told_: told.append(told_))
    done = [d for d, _ in told]
    assert len(done) == 5 and done == sorted(set(done)) and done[-1] == out.size
    assert {total for _, total in told} == {out.size}
    half: list[tuple[int, int]] = []
    pi.Orthogonal(seed=1)(
        (500, 400), "float16", shard=np.s_[:10], progress=lambda *t: half.append(t)
    )
    assert [d for d, _ in half] == [d * 4000 // out.size for d in done]


def test_an_exception_of_progress_stops_it_before_a_half_made_part_is_written() -> None:
    def stop(done: int, total: int) -> None:
        raise FloatingPointError

    out = np.full((300, 200), 7, np.float16)
    with pytest.raises(FloatingPointError):
        pi.Orthogonal(seed=1).fill(out, progress=stop)
    assert (out == 7).all()
