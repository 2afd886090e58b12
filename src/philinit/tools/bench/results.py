# SPDX-License-Identifier: Apache-2.0
"""What a benchmark has measured: results and who was left out, in memory and as JSON."""

from dataclasses import asdict, dataclass, field
from statistics import median, quantiles
from typing import Any, Self

from philinit.tools.bench.contenders import Contender, Failed, Refused
from philinit.tools.bench.workloads import Work, Workload


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

    @classmethod
    def of(cls, workload: str, contender: Contender, work: Work, memory: str, share: int) -> Self:
        """One without times yet."""
        title, sizes = contender.title(work), (work.size, work.nbytes)
        return cls(workload, contender.name, title, memory, work.dtype, *sizes, share)

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
        self._left_out[LeftOut(workload.name, "all contenders", reason)] = None

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
