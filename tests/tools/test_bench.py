# SPDX-License-Identifier: Apache-2.0
"""The engine of the benchmarks: workloads, checks before times, parts of tensors, reports."""

import json
import math
import signal

import numpy as np
import pytest

pytest.importorskip("psutil")

from philinit.distributions import Normal, TruncatedNormal, Uniform
from philinit.dtypes import as_dtype
from philinit.tools.bench import timings
from philinit.tools.bench.calls import CALLS
from philinit.tools.bench.contenders import CONTENDERS, Failed, Refused
from philinit.tools.bench.races import Limits, fitting_share, race, takes_part
from philinit.tools.bench.results import Report, results_of, spread
from philinit.tools.bench.timings import PREPARED, check
from philinit.tools.bench.workers import Workers
from philinit.tools.bench.workloads import WORKLOADS, Work, Workload

OWN, MEMSET, NUMPY = (CONTENDERS[name] for name in ("philinit", "memset", "NumPy, SFC64"))
UNIFORM = Work("uniform", (256, 256), (-0.05, 0.05))
TINY = Limits(patience=1.0, spend=0.01, least=2, most=3)


# ---------------------------------------------------------------------------- workloads


def test_the_workloads_have_the_sizes_and_distributions_of_their_models():
    by_name = {workload.name: workload.work for workload in WORKLOADS}
    assert by_name["word embedding"].nbytes == 4_000_000_000
    assert by_name["DLRM table"].nbytes == 10_240_000_000
    assert by_name["DLRM table"].distribution.high == pytest.approx(40_000_000**-0.5)
    assert by_name["Llama-3-8B MLP"].shape == (4096, 14336)
    assert by_name["Llama-3-8B attention"].distribution == TruncatedNormal(0.0, 0.02)
    he = by_name[
        "ResNet conv"
    ].distribution  # 3 x 3 x 512 inputs: Keras divides by what the cut takes
    assert he.moments()[1] == pytest.approx(math.sqrt(2 / 4608))
    glorot = by_name["dense 64"].distribution
    assert isinstance(glorot, Uniform)
    assert glorot.high == pytest.approx(math.sqrt(6 / 128))
    assert {work.distribution_name for work in by_name.values()} == {
        "uniform",
        "normal",
        "truncated normal",
    }


def test_a_part_is_cut_from_the_longest_axis():
    assert Work("normal", (3, 3, 512, 100)).part(4).shape == (3, 3, 128, 100)
    assert Work("normal", (1000, 10)).at_most(3000).shape == (250, 10)
    assert Work("normal", (1000, 10)).at_most(10_000).shape == (1000, 10)
    assert Work("normal", (10,)).part(1 << 20).shape == (1,)


# ---------------------------------------------------------------------------- the check


def test_a_right_answer_passes():
    sample = np.random.default_rng(1).uniform(-0.05, 0.05, UNIFORM.shape).astype(np.float32)
    check(NUMPY, UNIFORM, sample)


@pytest.mark.parametrize("contender", [OWN, NUMPY], ids=["philinit", "a peer"])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x: x * np.float32(1.02), "wrong numbers: .*max"),
        (lambda x: x * np.float32(0.98), "wrong numbers: .*min"),
        (lambda x: x + np.float32(0.002), "wrong numbers: mean"),
        (lambda x: np.zeros_like(x), "wrong numbers: stddev"),
        (lambda x: np.where(x == x.max(), np.float32("nan"), x), "wrong numbers"),
        (lambda x: x[:-1], "made 65,280 float32, not 65,536 float32"),
        (lambda x: x.astype(np.float64), "made 65,536 float64, not 65,536 float32"),
    ],
)
def test_a_spoiled_answer_is_refused(contender, spoil, message):
    sample = np.random.default_rng(1).uniform(-0.05, 0.05, UNIFORM.shape).astype(np.float32)
    with pytest.raises(ValueError, match=message):
        check(contender, UNIFORM, spoil(sample))


def test_a_spoiled_normal_is_refused():
    work = Work("normal", (65536,), (0.0, 0.02))
    sample = np.random.default_rng(1).standard_normal(65536, np.float32) * np.float32(0.02)
    assert type(work.distribution) is Normal
    check(NUMPY, work, sample)
    with pytest.raises(ValueError, match="wrong numbers: stddev"):
        check(NUMPY, work, sample * np.float32(1.02))


def test_few_levels_are_granted_to_peers_and_not_to_philinit():
    work = Work("uniform", (1 << 20,), (0.0, 1.0), "bfloat16")
    levels = np.random.default_rng(1).integers(0, 128, 1 << 20) / 128
    coarse = levels.astype(as_dtype("bfloat16"))
    check(NUMPY, work, coarse)  # as TensorFlow draws bfloat16: the mean is half a level low
    with pytest.raises(ValueError, match="wrong numbers: mean"):
        check(OWN, work, coarse)


# ---------------------------------------------------------------------------- who does what


def test_each_contender_names_what_it_calls_and_what_it_lacks():
    he, normal = Work("he_normal", (64, 64)), Work("normal", (64,))
    assert CONTENDERS["Keras"].title(he) == "keras.initializers.HeNormal"
    assert CONTENDERS["torch"].title(he) == "torch.nn.init.trunc_normal_"
    assert CONTENDERS["JAX, rbg"].title(normal) == "jax.random.normal, rbg"
    assert CONTENDERS["philinit"].title(he) == "philinit.HeNormal"
    with pytest.raises(Refused, match="has no truncated normal"):
        NUMPY.function(he)
    with pytest.raises(Refused, match="has no float16"):
        NUMPY.function(Work("normal", (64,), dtype="float16"))


def test_a_library_that_is_missing_is_named_and_starts_no_process(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert OWN.missing() is None
    with Workers() as workers, pytest.raises(Refused, match="torch is not installed: pip install"):
        workers.turn(CONTENDERS["torch"], UNIFORM, "new")


def ask(contender, work, memory="new", **more):
    raw = {"init": work.init, "shape": list(work.shape), "numbers": list(work.numbers)}
    request = {"contender": contender.name, "work": raw | {"dtype": work.dtype}, "memory": memory}
    return request | {"repeats": 1, "check": True, "peak": False} | more


def answer(request):
    return timings.answer(request, print)


def test_a_worker_answers_with_seconds_and_keeps_one_buffer():
    PREPARED.forget()
    for contender in (MEMSET, OWN, NUMPY):
        assert answer(ask(contender, UNIFORM, "resident", repeats=3))["seconds"] > 0
    assert PREPARED.buffer.nbytes == UNIFORM.nbytes
    half = Work("uniform", UNIFORM.shape, UNIFORM.numbers, "bfloat16")
    assert answer(ask(OWN, half, "resident"))["seconds"] > 0
    assert PREPARED.buffer.nbytes == UNIFORM.nbytes
    assert answer({"forget": True}) == {}
    assert PREPARED.buffer.nbytes == 0


def test_what_a_library_raises_is_the_reply_and_not_the_end():
    reply = answer(ask(OWN, Work("uniform", (4,), (2.0, 1.0))))
    assert reply == {"failed": "ValueError: `low` must be below `high`; got low=2.0, high=1.0"}
    assert answer(ask(OWN, UNIFORM))["seconds"] > 0


def test_wrong_numbers_have_no_time(monkeypatch):
    monkeypatch.setattr(Work, "ends", (0.0, 1.0))  # NumPy scales by it; the distribution stays
    reply = answer(ask(NUMPY, UNIFORM))
    assert set(reply) == {"failed"}
    assert "wrong numbers" in reply["failed"]


# ---------------------------------------------------------------------------- children


def test_every_contender_has_a_call():
    assert list(CALLS) == list(CONTENDERS)


def test_a_child_that_dies_is_a_reason_and_the_next_one_works():
    with Workers() as workers:
        assert workers.turn(OWN, UNIFORM, "new", check=True)["seconds"] > 0
        workers._running["numpy"].process.send_signal(signal.SIGKILL)
        with pytest.raises(Failed, match="ended by SIGKILL"):
            workers.turn(OWN, UNIFORM, "new")
        assert workers.turn(OWN, UNIFORM, "new")["seconds"] > 0


# ---------------------------------------------------------------------------- the race


def test_a_race_measures_philinit_memset_and_numpy_in_turns():
    report, said = Report(), []
    load = Workload("w", UNIFORM, "", also=("bfloat16",))
    with Workers() as workers:
        for memory in ("new", "resident"):
            names = ("memset", "philinit", "NumPy, SFC64")
            race(workers, load, names, memory, TINY, report, said.append)
    found = {(r.contender, r.memory, r.dtype): r for r in report.results}
    names = ("memset", "philinit", "NumPy, SFC64")
    assert set(found) == {(n, m, "float32") for n in names for m in ("new", "resident")} | {
        ("philinit", "resident", "bfloat16")
    }
    assert all(2 <= len(r.seconds) <= 3 and r.share == 1 for r in found.values())
    assert not report.left_out
    assert not report.failed
    assert said[0] == "w, new: memset warms up"
    document = json.loads(json.dumps(report.document()))
    assert results_of(document) == report.results
    assert document["results"][0]["GB/s"] == pytest.approx(report.results[0].rate / 1e9)


def test_who_cannot_is_left_out_with_the_reason_and_who_failed_is_a_failure():
    report = Report()
    with Workers() as workers:
        load = Workload("w", Work("truncated_normal", (1000,)), "")
        race(workers, load, ["NumPy, SFC64"], "new", TINY, report, print)
        assert [skip.reason for skip in report.left_out] == ["has no truncated normal"]
        assert not report.failed
        wrong = Workload("w", Work("uniform", (1000,), (2.0, 1.0)), "")
        with pytest.raises(ValueError, match="`low` must be below `high`"):
            wrong.work.distribution  # noqa: B018 - it is made here
    report.leave_out(load, OWN, Failed("it died"))
    assert report.failed
    assert report.results == []


def test_after_the_deadline_nobody_begins():
    report = Report()
    with Workers() as workers:
        late = Limits(1.0, 1.0, deadline=-math.inf)
        race(workers, Workload("w", UNIFORM, ""), ["philinit"], "new", late, report, print)
        assert not workers.names
    assert [skip.reason for skip in report.left_out] == ["no time was left for w, new memory"]


def test_a_peer_makes_a_part_where_time_or_memory_is_short():
    gib = 1 << 30
    work = Work("uniform", (1 << 28,))  # 1 GiB
    tf, torch, limits = CONTENDERS["tf.random"], CONTENDERS["torch"], Limits(2.0, 2.0)
    assert fitting_share(tf, work, 1.9, limits, 64 * gib) == 1
    assert fitting_share(tf, work, 2.1, limits, 64 * gib) == 2
    assert fitting_share(tf, work, 30.0, limits, 64 * gib) == 16
    assert fitting_share(tf, work, 0.1, limits, 18 * gib) == 1  # three tensors in a sixth
    assert fitting_share(tf, work, 0.1, limits, 17 * gib) == 2
    assert fitting_share(torch, work, 0.1, limits, 4 * gib) == 1  # gives its memory back
    assert fitting_share(OWN, work, 30.0, limits, 4 * gib) == 1  # the workload is philinit's
    assert fitting_share(OWN, work, 30.0, limits, 2 * gib) == 4
    dlrm = next(w.work for w in WORKLOADS if w.name == "DLRM table")
    assert fitting_share(OWN, dlrm, 9.0, limits, 20 * gib) == 1  # on a machine of 24 GiB


def test_few_rounds_are_spread_over_the_race():
    assert [n for n in range(15) if takes_part(3, n, 15)] == [4, 9, 14]
    assert [n for n in range(15) if takes_part(15, n, 15)] == list(range(15))
    assert all(sum(takes_part(k, n, 15) for n in range(15)) == k for k in range(1, 16))


def test_rounds_follow_the_time_there_is():
    limits = Limits(patience=2.0, spend=2.0, least=3, most=15)
    assert [limits.rounds(s) for s in (1e-6, 0.05, 0.2, 0.5, 10.0)] == [15, 15, 10, 4, 3]


def test_the_spread_is_a_robust_sigma():
    sample = np.random.default_rng(1).normal(10.0, 0.5, 100_001)
    assert spread(sample.tolist()) == pytest.approx(0.05, rel=0.02)
    assert spread([*[1.0] * 9, 100.0]) == 0.0  # one disturbed round changes nothing
    assert spread([1.0]) == 0.0
