# SPDX-License-Identifier: Apache-2.0
"""The engine of `philinit bench` and of benchmarks/: contenders in turns, A B C A B C.

All contenders of a workload are prepared, warmed up and checked; then each makes its tensor once a
round, so that a machine that slows down does so for everybody, and ratios within a run hold. New
tensors and resident memory are two races. A peer to which the whole tensor is too much, of memory
or of time, makes a part of it, which its result states.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from statistics import median, quantiles
from typing import Any

from philinit.tools.bench.contenders import CONTENDERS, Contender, Failed, Refused
from philinit.tools.bench.crew import Crew
from philinit.tools.bench.workloads import Work, Workload
from philinit.tools.demo import HEADROOM
from philinit.tools.measure.measuring import free_memory

SMALL = 1 << 18  # weights of the tensor that tells how long the whole one will take
LARGE = 1 << 31  # bytes: beyond it new pages cost seconds, and pools are not left lying about
CERTAIN = 0.5  # seconds of a call that tell how many rounds there is time for
ROUND = 0.02  # seconds that a round takes at least: short calls are repeated

Tell = Callable[[str], None]  # what is being done


@dataclass(frozen=True)
class Limits:
    """How much time there is: of one call of a peer, and of the rounds of one contender."""

    patience: float  # seconds of a call: a peer that needs more makes a part of the tensor
    spend: float  # seconds of all rounds together, as far as `least` allows
    least: int = 3
    most: int = 15
    deadline: float = math.inf  # of time.perf_counter: nobody begins later, rounds end

    def rounds(self, seconds: float) -> int:
        """How many rounds of so many seconds each."""
        return max(self.least, min(self.most, int(self.spend / max(seconds, ROUND))))


@dataclass
class Result:
    """What was measured of one contender: seconds a call, one for each round."""

    workload: str
    contender: str
    title: str
    memory: str  # "new" or "resident"
    dtype: str
    weights: int
    nbytes: int
    share: int  # the workload's tensor is so many times as large
    seconds: list[float] = field(default_factory=list)

    @property
    def typical(self) -> float:
        """The median of the rounds."""
        return median(self.seconds)

    @property
    def rate(self) -> float:
        """Bytes a second."""
        return self.nbytes / self.typical


@dataclass(frozen=True)
class LeftOut:
    """Who was not measured, and why."""

    workload: str
    contender: str
    reason: str
    failed: bool = False  # it should have been able to


def spread(seconds: list[float]) -> float:
    """Robust relative spread of rounds: interquartile range / (1.349 median); 0 of one round.

    1.349 standard deviations lie between the quartiles of a normal distribution.
    """
    if len(seconds) < 2:
        return 0.0
    first, middle, third = quantiles(seconds, n=4, method="inclusive")
    return (third - first) / (1.349 * middle)


class Report:
    """What a run has measured so far, and who was left out; an interrupt leaves it as it is."""

    def __init__(self) -> None:
        self._results: list[Result] = []
        self._left_out: dict[LeftOut, None] = {}  # a set in the order of events

    @property
    def results(self) -> list[Result]:
        """Those of which there is a time."""
        return [result for result in self._results if result.seconds]

    @property
    def left_out(self) -> list[LeftOut]:
        """Who was left out, each reason once a workload."""
        return list(self._left_out)

    @property
    def failed(self) -> bool:
        """Whether somebody failed who should not have."""
        return any(skip.failed for skip in self._left_out)

    def expect(self, result: Result) -> None:
        """Add a result, whose times follow."""
        self._results.append(result)

    def leave_out(self, workload: Workload, contender: Contender, reason: Refused) -> None:
        """Add somebody who cannot."""
        failed = isinstance(reason, Failed)
        self._left_out[LeftOut(workload.name, contender.name, str(reason), failed)] = None

    def run_out(self, workload: Workload, memory: str) -> None:
        """Add a whole race that there was no time for."""
        reason = f"no time was left for {workload.name}, {memory} memory"
        self._left_out[LeftOut(workload.name, "everybody", reason)] = None

    def document(self) -> dict[str, Any]:
        """Everything as JSON has it: derived figures beside every single time."""
        rows = [
            {**asdict(r), "median": r.typical, "spread": spread(r.seconds), "GB/s": r.rate / 1e9}
            for r in self.results
        ]
        return {"results": rows, "left_out": [asdict(skip) for skip in self._left_out]}


def results_of(document: dict[str, Any]) -> list[Result]:
    """The results of a document, read from JSON."""
    names = Result.__dataclass_fields__
    return [Result(**{k: v for k, v in row.items() if k in names}) for row in document["results"]]


@dataclass
class _Runner:
    """A contender that is ready: what it makes, how often a round, and in how many rounds."""

    contender: Contender
    work: Work
    result: Result
    repeats: int
    rounds: int
    unchecked: bool


def entries(
    workload: Workload, names: Iterable[str], memory: str
) -> Iterator[tuple[Contender, Work]]:
    """Who makes what: the contenders by name; into resident memory philinit also other dtypes."""
    for name in names:
        if memory == "new" or CONTENDERS[name].resident is not None:
            yield CONTENDERS[name], workload.work
    for dtype in workload.also if memory == "resident" else ():
        yield CONTENDERS["philinit"], replace(workload.work, dtype=dtype)


def compete(
    crew: Crew,
    workload: Workload,
    names: Iterable[str],
    memory: str,
    limits: Limits,
    report: Report,
    tell: Tell,
) -> None:
    """Race of one workload, `memory` "new" or "resident", into `report`."""
    if time.perf_counter() > limits.deadline:
        report.run_out(workload, memory)
        return
    large = workload.work.nbytes > LARGE
    if large:
        crew.end()
    runners: list[_Runner] = []
    free = free_memory()
    for contender, work in entries(workload, names, memory):
        tell(f"{workload.name}, {memory}: {contender.name} warms up")
        try:
            runners.append(_prepare(crew, workload, contender, work, memory, limits, free))
        except Refused as reason:
            report.leave_out(workload, contender, reason)
        else:
            report.expect(runners[-1].result)
    last = max((runner.rounds for runner in runners), default=0)
    for number in range(last):
        if number and time.perf_counter() > limits.deadline:
            break
        tell(f"{workload.name}, {memory}: round {number + 1} of {last}")
        for runner in list(runners):
            if not takes_part(runner.rounds, number, last):
                continue
            try:
                _round(crew, runner)
            except Refused as reason:
                runners.remove(runner)
                runner.result.seconds.clear()
                report.leave_out(workload, runner.contender, reason)
    if large:
        crew.end()
    else:
        crew.forget()


def takes_part(rounds: int, number: int, last: int) -> bool:
    """Whether one of few rounds falls on this number of `last`: they are spread evenly."""
    return (number + 1) * rounds // last > number * rounds // last


def _prepare(
    crew: Crew,
    workload: Workload,
    contender: Contender,
    whole: Work,
    memory: str,
    limits: Limits,
    free: int,
) -> _Runner:
    """Warm up, check, and find out how large a tensor and how many rounds there is time for."""
    if time.perf_counter() > limits.deadline:
        raise Refused(f"no time was left for {whole.kind}, {memory} memory")
    title = contender.title(whole)
    work = whole.at_most(SMALL)
    crew.turn(contender, work, memory, check=True)
    seconds = crew.turn(contender, work, memory)["seconds"]
    cold = False
    while True:  # a larger part tells better how long the whole tensor takes
        guess = seconds * whole.size / work.size
        share = fitting_share(contender, whole, guess, limits, free)
        larger = whole.part(share)
        # New pages of the system take too long to be touched in vain; but memset, the first in
        # line, does so once: it must not alone pay for what the system has to move out of the way.
        cold = memory == "new" and contender.library == "philinit" and larger.nbytes > LARGE
        if larger.size <= work.size:
            break
        work = larger
        if cold:
            break
        seconds = crew.turn(contender, work, memory, check=True)["seconds"]
        # What a first call costs beyond the next ones is little beside a long one of a peer.
        if seconds < CERTAIN or not contender.peer:
            seconds = crew.turn(contender, work, memory)["seconds"]
    rounds = limits.least if cold else limits.rounds(seconds)
    repeats = 1 if cold else min(10_000, max(1, math.ceil(ROUND / seconds)))
    result = Result(
        workload.name,
        contender.name,
        title,
        memory,
        work.dtype,
        work.size,
        work.nbytes,
        round(whole.size / work.size),
    )
    return _Runner(contender, work, result, repeats, rounds, unchecked=cold)


def fitting_share(contender: Contender, work: Work, guess: float, limits: Limits, free: int) -> int:
    """1 where the whole tensor is made, 2 for a half of it, and so on.

    Of the free memory two thirds are for who gives it back at once, and a sixth for each library
    that may keep it while others work. philinit and memset are not hurried: a workload is theirs.
    """
    room = free / 6 if contender.keeps else 2 * free / 3 - HEADROOM
    share = 1
    while share < work.size and (
        (contender.peer and guess / share > limits.patience)
        or contender.peak * work.part(share).nbytes > room
    ):
        share *= 2
    return share


def _round(crew: Crew, runner: _Runner) -> None:
    result = runner.result
    reply = crew.turn(
        runner.contender, runner.work, result.memory, runner.repeats, check=runner.unchecked
    )
    runner.unchecked = False
    result.seconds.append(reply["seconds"])
