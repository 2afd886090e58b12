# SPDX-License-Identifier: Apache-2.0
"""The engine of `philinit bench` and of benchmarks/: contenders in turns, A B C A B C.

All contenders of a workload are prepared, warmed up and checked; then each makes its tensor once a
round, so that a machine that slows down does so for everybody, and ratios within a run hold. New
tensors and resident memory are two races. A peer to which the whole tensor is too much, of memory
or of time, makes a part of it, which its result states.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from philinit.tools.bench.contenders import CONTENDERS, Contender, Refused
from philinit.tools.bench.results import Report, Result
from philinit.tools.bench.workers import Workers
from philinit.tools.bench.workloads import Work, Workload
from philinit.tools.measure.machine import HEADROOM, free_memory

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
        if memory == "new" or CONTENDERS[name].writes:
            yield CONTENDERS[name], workload.work
    for dtype in workload.also if memory == "resident" else ():
        yield CONTENDERS["philinit"], replace(workload.work, dtype=dtype)


def race(
    workers: Workers,
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
        workers.end()
    runners: list[_Runner] = []
    free = free_memory()
    for contender, work in entries(workload, names, memory):
        tell(f"{workload.name}, {memory}: {contender.name} warms up")
        try:
            runners.append(_prepare(workers, workload, contender, work, memory, limits, free))
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
            contender, work, result = runner.contender, runner.work, runner.result
            try:
                reply = workers.turn(
                    contender, work, memory, runner.repeats, check=runner.unchecked
                )
            except Refused as reason:
                runners.remove(runner)
                result.seconds.clear()
                report.leave_out(workload, contender, reason)
            else:
                runner.unchecked = False
                result.seconds.append(reply["seconds"])
    if large:
        workers.end()
    else:
        workers.forget()


def takes_part(rounds: int, number: int, last: int) -> bool:
    """Whether one of few rounds falls on this number of `last`: they are spread evenly."""
    return (number + 1) * rounds // last > number * rounds // last


def _prepare(
    workers: Workers,
    workload: Workload,
    contender: Contender,
    whole: Work,
    memory: str,
    limits: Limits,
    free: int,
) -> _Runner:
    """Warm up, check, and find out how large a tensor and how many rounds there is time for."""
    if time.perf_counter() > limits.deadline:
        raise Refused(f"no time was left for {whole.distribution_name}, {memory} memory")
    contender.function(whole)  # who has none is out before a process starts
    work = whole.at_most(SMALL)
    workers.turn(contender, work, memory, check=True)
    seconds = workers.turn(contender, work, memory)["seconds"]
    cold = False
    while True:  # a larger part tells better how long the whole tensor takes
        guess = seconds * whole.size / work.size
        share = fitting_share(contender, whole, guess, limits, free)
        larger = whole.part(share)
        # New pages of the system take too long to be written in vain; but memset, the first in
        # line, does so once: it must not alone pay for what the system has to move out of the way.
        cold = memory == "new" and contender.library == "philinit" and larger.nbytes > LARGE
        if larger.size <= work.size:
            break
        work = larger
        if cold:
            break
        seconds = workers.turn(contender, work, memory, check=True)["seconds"]
        # What a first call costs beyond the next ones is little beside a long one of a peer.
        if seconds < CERTAIN or not contender.peer:
            seconds = workers.turn(contender, work, memory)["seconds"]
    rounds = limits.least if cold else limits.rounds(seconds)
    repeats = 1 if cold else min(10_000, max(1, math.ceil(ROUND / seconds)))
    result = Result.of(workload.name, contender, work, memory, round(whole.size / work.size))
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
