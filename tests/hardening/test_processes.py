# SPDX-License-Identifier: Apache-2.0
"""Threads, processes and limits of the system: the right bits, or one sentence; never a hang."""

import importlib.util
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from tests.support.processes import environment, run, run_json, run_python

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="limits and signals of POSIX"),
]

PREFACE = """
import faulthandler, hashlib, json, multiprocessing, os, resource, sys, threading, time, warnings
from pathlib import Path
import numpy as np
import philinit as pi

warnings.simplefilter("ignore")  # of Python 3.12, about forks beside threads
faulthandler.dump_traceback_later(120, exit=True)
uniform, normal = pi.distributions.Uniform(-0.1, 0.1), pi.distributions.Normal()
key = pi.Key.from_seed(1)

def digest(size=5_000_000, distribution=uniform, threads=4):
    out = pi.fill(np.empty(size, np.float32), distribution, key, threads=threads)
    return hashlib.sha256(out).hexdigest()
"""
# What the tests of one call and one key compare with: the bits in a process that nothing disturbs.
WHOLE = PREFACE + "print(json.dumps([digest(threads=1), digest(1000, normal)]))"


@pytest.fixture(scope="module")
def right():
    return run_json(WHOLE)


def test_16_threads_call_at_once(right):
    found = run_json(
        PREFACE
        + """
found, start = [], threading.Barrier(16)
def call(number):
    start.wait()
    for turn in range(8):
        found.append(digest(threads=1 + (number + turn) % 6))

threads = [threading.Thread(target=call, args=(n,)) for n in range(16)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(json.dumps([len(found), sorted(set(found))]))
"""
    )
    assert found == [128, right[:1]]


@pytest.mark.parametrize("how", ["os._exit(7)", "sys.exit(7)"])
@pytest.mark.parametrize("who", ["main", "another"])
def test_exit_while_fills_are_under_way(how, who):
    """Neither a crash nor a hang; sys.exit in a thread that is not the main one ends that alone."""
    code = (
        PREFACE
        + f"""
out, stop = np.empty(60_000_000, np.float32), False
def busy():
    while not stop:
        pi.fill(out, uniform, key, threads=4)

def leave():
    time.sleep(float(sys.argv[1]))
    {how}

fills = [threading.Thread(target=busy, daemon=True) for _ in range(2)]
for thread in fills: thread.start()
if {who!r} == "main":
    leave()
last = threading.Thread(target=leave)
last.start()
last.join()
os.write(1, b"the other threads go on")
pi.fill(out, uniform, key)
sys.exit(7)
"""
    )
    for delay in (0.01, 0.05, 0.2):
        done = run_python(code, delay, check=False, timeout=100)
        assert done.returncode == 7, (delay, done.stderr[-2000:])


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_children_of_multiprocessing_fill_the_same_bits(method, right, tmp_path):
    script = tmp_path / "children.py"  # spawn imports the main module anew
    script.write_text(
        PREFACE
        + """
def child(number):
    return digest(threads=1 + number % 4)

if __name__ == "__main__":
    whole = digest()
    with multiprocessing.get_context(sys.argv[1]).Pool(4) as pool:
        print(json.dumps(sorted({whole, *pool.map(child, range(12))})))
"""
    )
    done = run([sys.executable, script, method])
    assert done.stdout.strip() == f'["{right[0]}"]'


def test_without_address_space_one_sentence_and_a_smaller_fill_works(right):
    found = run_json(
        PREFACE
        + """
digest(1000)  # loads the kernel
used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
resource.setrlimit(resource.RLIMIT_AS, (used + (256 << 20),) * 2)
try:
    pi.Normal(seed=1)((1 << 28,))
    said = "nothing"
except MemoryError as error:
    said = str(error)
print(json.dumps([said, digest()]))
"""
    )
    assert "\n" not in found[0] and "268435456" in found[0].replace(",", ""), found
    assert found[1] == right[0]


FIRST = PREFACE + "print(json.dumps([digest(), digest(1000, normal)]))"


def test_12_processes_compile_into_one_cache_and_are_killed_at_random(right, tmp_path):
    """Whoever lives has the right bits; files that count are whole, and taken later."""
    draw, cache = random.Random(3), {"PHILINIT_CACHE_DIR": tmp_path}
    command = [sys.executable, "-c", FIRST]
    processes = [
        subprocess.Popen(command, env=environment(cache), stdout=subprocess.PIPE, text=True)
        for _ in range(12)
    ]
    begun = time.monotonic()
    for process in processes[:6]:
        time.sleep(draw.uniform(0, 4))
        process.send_signal(signal.SIGKILL)
    outputs = [process.communicate(timeout=240)[0] for process in processes]
    lasted = time.monotonic() - begun
    lived = [o for o, p in zip(outputs, processes, strict=True) if p.returncode == 0]
    assert all(p.returncode in (0, -signal.SIGKILL) for p in processes)
    assert len(lived) >= 6 and {output.strip() for output in lived} == {json_of(right)}, lasted
    kept = list(tmp_path.glob("*.o"))
    assert len(kept) == 2
    code = (
        "import sys; from pathlib import Path; from philinit.kernels.cache import cached; "
        "sys.exit(not all(cached(p.name) for p in Path(sys.argv[1]).glob('*.o')))"
    )
    run_python(code, tmp_path, env=cache)
    no_compiler = FIRST.replace("print(", "compiler._compile = None\nprint(")
    compiler = "from philinit.kernels.cpu import compiler\n"
    assert run_json(compiler + no_compiler, env=cache) == right


def json_of(right):
    return '["' + '", "'.join(right) + '"]'


@pytest.mark.parametrize("state", ["read-only", "a file", "no room for a file"])
def test_a_cache_that_cannot_be_written_costs_time_only(state, right, tmp_path):
    folder, limit = tmp_path / "cache", ""
    if state == "a file":
        folder.write_text("")
    else:
        folder.mkdir()
    if state == "read-only":
        folder.chmod(0o500)  # root writes all the same: for it the test is one of permissions kept
    if state == "no room for a file":
        limit = "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 1_000))\n"
    code = FIRST.replace("print(", limit + "print(")
    assert run_json(code, env={"PHILINIT_CACHE_DIR": folder}) == right
    if state == "no room for a file":
        assert not any(folder.iterdir()), "neither a part of a file, nor a temporary one"


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() or sys.platform != "linux", reason="mounts a tmpfs"
)
def test_a_full_disk_costs_time_only(right, tmp_path):
    mounted = ["mount", "-t", "tmpfs", "-o", "size=4k,mode=0700", "none", tmp_path]
    if subprocess.run([str(part) for part in mounted], capture_output=True).returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        assert run_json(FIRST, env={"PHILINIT_CACHE_DIR": tmp_path}) == right
        assert not list(tmp_path.iterdir())
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.parametrize("delay", [0.0, 0.2, 1.0])
def test_a_fork_while_another_thread_compiles(delay, right, tmp_path):
    """8 of 8 children fill, whatever the thread that compiles holds at that moment."""
    found = run_json(
        PREFACE
        + """
first = threading.Thread(target=digest)
first.start()
time.sleep(float(sys.argv[1]))
children = []
for number in range(8):
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, digest().encode())
        os._exit(0)
    os.close(writing)
    children.append((child, reading))
found = []
for child, reading in children:
    found.append(os.read(reading, 1000).decode())
    os.waitpid(child, 0)
first.join()
print(json.dumps(found))
""",
        delay,
        env={"PHILINIT_CACHE_DIR": tmp_path},
    )
    assert found == right[:1] * 8


LEAK = """
import json, os, sys
from pathlib import Path
import numpy as np
import philinit as pi

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

uniform, key = pi.distributions.Uniform(-0.1, 0.1), pi.Key.from_seed(1)
if sys.argv[1] == "variables":
    import tensorflow as tf
    import philinit.tensorflow as pit

    init, rounds = pi.HeNormal(seed=1), 10_000
    def once(number):
        pit.variable(init.named(number), (512, 400 + number % 200))
else:
    out, rounds = np.empty(1_000_000, np.float32), 10_000
    def once(number):  # some by helpers, some by one thread, some in new memory
        if number % 3:
            pi.fill(out[: 1 + number * 97 % out.size], uniform, key, number, threads=2)
        else:
            pi.Normal(seed=number).named(f"layer/{number}")((1000 + number % 100, 64))

for number in range(rounds // 10):
    once(number)
before = resident()
for number in range(rounds):
    once(number)
print(json.dumps((resident() - before) / 2**20))
"""


@pytest.mark.parametrize("what", ["fills", "variables"])
def test_memory_is_flat_over_thousands_of_calls(what):
    """Within 16 MiB: the sizes differ from call to call, so that malloc keeps some of each."""
    if what == "variables" and importlib.util.find_spec("tensorflow") is None:
        pytest.skip("needs tensorflow")
    grown = run_json(LEAK, what, env={"TF_CPP_MIN_LOG_LEVEL": "3"}, timeout=600)
    assert grown < 16, f"{grown:.1f} MiB"
