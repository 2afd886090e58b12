# SPDX-License-Identifier: Apache-2.0
"""When a fill has returned or raised, nobody writes, and the next fill works: 1,400 interrupts.

A timer's signal raises KeyboardInterrupt, as Ctrl-C does, anywhere between the first bytecode of a
fill, or of a file's, and its end; every second time again, while the first one is on its way.
"""

import signal

import pytest

from tests.support.processes import run_json

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timers here"),
]

LOOP = """
import faulthandler, json, random, signal, sys, time
import numpy as np
import philinit as pi

faulthandler.dump_traceback_later(100, exit=True)
rounds, size, threads = map(int, sys.argv[1:])
armed = False

def interrupt(*_):  # only within a fill: the loop around it is not what is tested
    if armed:
        raise KeyboardInterrupt

signal.signal(signal.SIGALRM, interrupt)
uniform, key = pi.distributions.Uniform(-0.1, 0.1), pi.Key.from_seed(1)
whole = pi.fill(np.empty(size, np.float32), uniform, key)
lasts = []
for _ in range(9):
    start = time.perf_counter()
    pi.fill(whole, uniform, key, threads=threads)
    lasts.append(time.perf_counter() - start)
lasts = sorted(lasts)[4]
out, draw = np.empty_like(whole), random.Random(7)
interrupted = late = 0
for number in range(rounds):
    out.fill(0)
    again = draw.uniform(1e-5, 2e-4) if number % 2 else 0.0
    delay = draw.uniform(1e-5, lasts)
    try:
        armed = True
        signal.setitimer(signal.ITIMER_REAL, delay, again)
        pi.fill(out, uniform, key, threads=threads)
        armed = False
    except KeyboardInterrupt:
        armed = False
        interrupted += 1
        out.fill(7)  # what the caller puts there since
        time.sleep(0.002)
        late += int(np.count_nonzero(out != 7))
    signal.setitimer(signal.ITIMER_REAL, 0)
assert np.array_equal(pi.fill(out, uniform, key, threads=threads), whole)
print(json.dumps({"interrupted": interrupted, "late": late}))
"""


@pytest.mark.parametrize(("size", "threads"), [(4_000_000, 4), (300_000, 2), (20_000_000, 16)])
def test_nothing_is_written_after_an_interrupt_and_no_later_fill_hangs(size, threads):
    rounds = 500 if size < 10_000_000 else 200
    found = run_json(LOOP, rounds, size, threads, timeout=150)
    assert found["late"] == 0
    assert found["interrupted"] > rounds // 10


FILES = """
import faulthandler, json, random, signal, sys, time, warnings
from pathlib import Path
import numpy as np
import philinit as pi
from philinit.files import unfinished, write
from philinit.files.resume import Record, partial_of
from philinit.files.tensors import Tensor
from philinit.files.write import write_file

faulthandler.dump_traceback_later(200, exit=True)
warnings.simplefilter("ignore", ResourceWarning)  # a file that an interrupt has left is closed late
path, rounds = Path(sys.argv[1]) / "w.npy", int(sys.argv[2])
write.PIECE, write.CHECKPOINT = 32 * unfinished.BLOCK, 1e-3
tensors = [Tensor("", pi.GlorotUniform(seed=7), (1500, 1000), np.dtype(np.float32))]
armed = False

def interrupt(*_):
    if armed:
        raise KeyboardInterrupt

def measured(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start

signal.signal(signal.SIGALRM, interrupt)
write_file(path, tensors)
whole = path.read_bytes()
lasts = sorted(measured(lambda: write_file(path, tensors, force=True)) for _ in range(9))[4]
path.unlink()
partial, draw = partial_of(path), random.Random(7)
found = dict.fromkeys(("interrupted", "late", "resumed", "wrong"), 0)
for number in range(rounds):
    resume = number % 3 > 0 and partial.exists()
    again = draw.uniform(1e-5, 2e-3) if number % 2 else 0.0
    delay = draw.uniform(1e-5, lasts)
    try:
        armed = True
        signal.setitimer(signal.ITIMER_REAL, delay, again)
        write_file(path, tensors, force=True, resume=resume)
        armed = False
    except KeyboardInterrupt:
        armed = False
        found["interrupted"] += 1
    except ValueError:  # the interrupt before came when there was no record yet
        armed = False
        assert resume
    signal.setitimer(signal.ITIMER_REAL, 0)
    if partial.exists():
        before = partial.read_bytes()
        spoiled = partial.stat().st_size
        partial.write_bytes(bytes(spoiled))  # what the caller puts there since
        time.sleep(0.002)
        found["late"] += partial.read_bytes() != bytes(spoiled)
        partial.write_bytes(before)
        try:
            done = Record.load(path).done
        except ValueError:
            continue
        found["resumed"] += done > 0
        found["wrong"] += before[:done] != whole[:done]
assert write_file(path, tensors, force=True).size == len(whole) and path.read_bytes() == whole
print(json.dumps(found))
"""


def test_nobody_writes_to_a_file_after_an_interrupt_and_it_can_be_gone_on_with(tmp_path):
    found = run_json(FILES, tmp_path, 200, timeout=250)
    assert found["late"] == found["wrong"] == 0
    assert found["interrupted"] > 40 and found["resumed"] > 20
