# SPDX-License-Identifier: Apache-2.0
"""What `philinit selftest` runs: known answers and golden hashes on every device that is found.

A device passes where each tensor has the bits that the specification (kernels/README.md) gives it:
Random123's known answers for the words, SHA-256 hashes of whole tensors for all the rest. What has
no golden hash, since it follows the libm of the system, is compared with what the CPU makes here.
"""

import functools
import hashlib
import importlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from philinit import distributions
from philinit.distributions import Distribution
from philinit.dtypes import NAMES, WIDER, as_dtype
from philinit.filling.devices import empty, resolve_device
from philinit.kernels.libm import KINDS
from philinit.kernels.plan import plan
from philinit.kernels.table import Plan, make
from philinit.keys import Key
from philinit.runs import Runs
from philinit.targets import Target
from philinit.tools.selftest.golden import COUNT, OFFSETS, SEED, SHA256, SHA256_BY_LIBM

EQUAL, DIFFERENT, SKIPPED = "equal", "different", "skipped"

# Random123's tests/kat_vectors, ten rounds: counter (word 0 first), key, words.
KNOWN_ANSWERS = (
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),  # noqa: E501 - one answer a line
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),  # noqa: E501
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),  # noqa: E501
)  # fmt: skip

_WORDS = make("words")
_WORD = as_dtype("float32")  # a word is four bytes, whatever they are called

# Golden tensors drawn once more as runs by number: the shortest loop, and each size of a weight.
# COUNT - 1 is a multiple of RUN, which is none of four: runs begin anywhere in a block.
RUN_KERNELS = ("uniform_float32", "normal_bfloat16", "uniform_float64", "normal_float8_e4m3fn")
RUN = 42


@dataclass(frozen=True)
class Case:
    """One tensor, or three known answers: `run(device)` says whether its bits are right."""

    name: str
    run: Callable[[str], bool]


@dataclass(frozen=True)
class Outcome:
    """What became of a case on a device; `note` says why it was skipped or differs."""

    case: str
    verdict: str
    note: str = ""


@dataclass(frozen=True)
class Report:
    """All outcomes of a device, or the sentence that says why there are none."""

    device: str
    title: str
    outcomes: tuple[Outcome, ...]
    seconds: float
    failure: str = ""

    @property
    def passed(self) -> bool:
        """Whether nothing differs, and the device could be tested at all."""
        return not self.failure and all(o.verdict != DIFFERENT for o in self.outcomes)

    def count(self, verdict: str) -> int:
        """Cases of this verdict."""
        return sum(o.verdict == verdict for o in self.outcomes)


def _drawn(device: str, what: Plan, dtype: np.dtype[Any], key: Key, offset: int, count: int) -> Any:
    """Weights made on `device`, as an ndarray."""
    view = empty((count,), dtype, device)
    _backend(view).fill(Target(view, (count,)), what, key, offset)
    return _on_host(view)


def _backend(view: Any) -> Any:
    """What fills `view`: the kernels are called with a plan of our own here."""
    where = "cpu" if isinstance(view, np.ndarray) else "cuda.launch"
    return importlib.import_module(f"philinit.filling.{where}")


def _on_host(view: Any) -> Any:
    return view if isinstance(view, np.ndarray) else sys.modules["cupy"].asnumpy(view)


def _digest(weights: np.ndarray[Any, Any]) -> str:
    raw = weights.view(f"u{weights.itemsize}")
    return hashlib.sha256(raw.astype(raw.dtype.newbyteorder("<")).tobytes()).hexdigest()


def _words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


def _known_answers(device: str) -> bool:
    for counter, key, answer in KNOWN_ANSWERS:
        base = sum(word << 32 * i for i, word in enumerate(_words(counter)))
        k0, k1 = _words(key)
        found = _drawn(device, _WORDS, _WORD, Key((k0, k1), base), 0, 4)
        if found.view(np.uint32).tolist() != _words(answer):
            return False
    return True


def _hashes(device: str, what: Plan, dtype: np.dtype[Any]) -> tuple[str, ...]:
    key = Key.from_seed(SEED)
    return tuple(_digest(_drawn(device, what, dtype, key, offset, COUNT)) for offset in OFFSETS)


@functools.cache
def _hashes_of_the_cpu(what: Distribution, dtype: np.dtype[Any]) -> tuple[str, ...]:
    return _hashes("cpu", plan(what, dtype, "tensorflow"), dtype)


def described(name: str) -> tuple[Distribution, np.dtype[Any], str]:
    """Distribution, dtype and sampler of a golden tensor, from its name.

    >>> described("uniform_float32-Uniform(low=0.0, high=1.0)")
    (Uniform(low=0.0, high=1.0), dtype('float32'), 'native')
    """
    kernel, _, text = name.partition("-")
    kind, _, arguments = text.rstrip(")").partition("(")
    values = {n: float(v) for n, _, v in (part.partition("=") for part in arguments.split(", "))}
    sampler = "tensorflow" if kernel.startswith("tensorflow") else "native"
    dtype = next(name for name in NAMES if kernel.endswith(f"_{name}"))
    return getattr(distributions, kind)(**values), as_dtype(dtype), sampler


def _golden_case(name: str) -> Case:
    if name == "words":
        return Case(name, lambda device: _hashes(device, _WORDS, _WORD) == SHA256[name])
    what, dtype, sampler = described(name)
    return Case(
        name,
        lambda device: _hashes(device, plan(what, dtype, sampler), dtype) == SHA256[name],
    )


def _in_runs(name: str) -> Case:
    """A golden tensor as runs by number: all but the last weight, in the order of the tensor."""
    what, dtype, sampler = described(name)

    def run(device: str) -> bool:
        key, found = Key.from_seed(SEED), plan(what, dtype, sampler)
        digests = []
        for offset in OFFSETS:
            view = empty((COUNT,), dtype, device)
            backend = _backend(view)
            ids = np.arange((COUNT - 1) // RUN)
            runs = Runs(offset, RUN, ((ids.size, RUN),), ids)
            head, tail = view[: runs.size], view[runs.size :]
            backend.fill_runs(Target(head, head.shape), found, key, runs)
            backend.fill(Target(tail, tail.shape), found, key, offset + runs.size)
            digests.append(_digest(_on_host(view)))
        return tuple(digests) == SHA256[name]

    return Case(f"{name}, in runs", run)


def _libm_case(kind: str, name: str) -> Case:
    """TensorFlow's normals by the functions of one libm, whichever this machine has."""
    what, dtype, sampler = described(name)

    def run(device: str) -> bool:
        found = plan(what, dtype, sampler)
        kinds = dict.fromkeys(("log_kind", "trigonometry_kind"), KINDS[kind])
        forced = make(found.kernel.name, **(found.values() | kinds))
        return _hashes(device, forced, dtype) == SHA256_BY_LIBM[kind][name]

    return Case(f"{name}, {kind}", run)


def _as_the_cpu(kernel: str, what: Distribution, dtype: np.dtype[Any]) -> Case:
    found = functools.partial(plan, what, dtype, "tensorflow")
    return Case(
        f"{kernel}-{what}, as the CPU",
        lambda device: _hashes(device, found(), dtype) == _hashes_of_the_cpu(what, dtype),
    )


def cases(device: str) -> list[Case]:
    """What is compared on a device."""
    found = [Case("Random123's known answers", _known_answers), *map(_golden_case, SHA256)]
    found += [_libm_case(kind, name) for kind, names in SHA256_BY_LIBM.items() for name in names]
    in_runs = {name.partition("-")[0]: name for name in SHA256}  # one of each kernel
    found += [_in_runs(in_runs[kernel]) for kernel in RUN_KERNELS]
    if device == "cpu":
        return found
    golden = {case.name.partition("-")[0] for case in found}
    for kind, what in (
        ("uniform", distributions.Uniform(-0.05, 0.05)),
        ("normal", distributions.Normal(0.5, 2.0)),
        ("truncated", distributions.TruncatedNormal(0.0, 0.1)),
    ):
        for dtype in WIDER:
            kernel = f"tensorflow_{kind}_{dtype}"
            if kernel not in golden:
                found.append(_as_the_cpu(kernel, what, as_dtype(dtype)))
    return found


def devices() -> tuple[list[str], str]:
    """The devices of this machine, and why no CUDA device is among them, if so."""
    from philinit.filling.cuda import memory as cuda_memory

    try:
        return ["cpu", *(f"cuda:{i}" for i in range(cuda_memory.device_count()))], ""
    except (ImportError, RuntimeError) as error:
        return ["cpu"], str(error)


def _title(device: str) -> str:
    """What the device calls itself."""
    if device == "cpu":
        from philinit.kernels.cpu.simd.target import cpu

        return cpu()[0]
    runtime = sys.modules["cupy"].cuda.runtime
    name = runtime.getDeviceProperties(int(device.partition(":")[2]))["name"]
    return name.decode() if isinstance(name, bytes) else str(name)


def check(device: str, progress: Callable[[int, int, str], object]) -> Report:
    """Run all cases on a device; `progress(done, total, name of the next case)`."""
    start = time.perf_counter()
    outcomes: list[Outcome] = []
    failure = title = ""
    try:
        device = resolve_device(device)
        title = _title(device)
        wanted = cases(device)
        for number, case in enumerate(wanted):
            progress(number, len(wanted), case.name)
            try:
                right = case.run(device)
            except NotImplementedError as error:
                outcomes.append(Outcome(case.name, SKIPPED, str(error)))
                continue
            note = "" if right else "other bits than the specification gives"
            outcomes.append(Outcome(case.name, EQUAL if right else DIFFERENT, note))
        progress(len(wanted), len(wanted), "")
    except (ImportError, RuntimeError, MemoryError, ValueError) as error:
        failure = str(error)
    return Report(device, title, tuple(outcomes), time.perf_counter() - start, failure)
