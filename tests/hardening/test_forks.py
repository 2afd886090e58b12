# SPDX-License-Identifier: Apache-2.0
"""A child process that was forked in the middle of something fills as its parent does."""

import os

import pytest

from tests.support.processes import run_python

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork"),
]

PREFACE = """
import faulthandler, hashlib, os, sys, threading, time, warnings
import numpy as np
import philinit as pi

warnings.simplefilter("ignore")  # of Python 3.12, about forks beside threads
faulthandler.dump_traceback_later(60, exit=True)
uniform, key = pi.distributions.Uniform(-0.1, 0.1), pi.Key.from_seed(1)

def digest(a):
    return hashlib.sha256(a.tobytes()).hexdigest()

whole = digest(pi.fill(np.empty(5_000_000, np.float32), uniform, key, threads=1))

def wait(child):
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, status
"""

IN_PROGRESS = """
parent, children, leave = os.getpid(), [], sys.argv[1] == "leave"

def progress(done, total):
    if os.getpid() == parent and len(children) < 5:
        child = os.fork()
        if child:
            children.append(child)
        elif leave:
            os._exit(0)

for _ in range(4):
    children.clear()
    out = np.zeros(5_000_000, np.float32)
    pi.fill(out, uniform, key, threads=4, progress=progress)
    right = digest(out) == whole
    # And once more, in the child too.
    right &= digest(pi.fill(np.zeros_like(out), uniform, key, threads=4)) == whole
    if os.getpid() != parent:
        os._exit(0 if right else 1)
    assert right and children
    for child in children:
        wait(child)
print("ok")
"""

WHILE_OTHERS_FILL = """
ends = time.monotonic() + 4
def busy():
    out = np.empty(3_000_000, np.float32)
    while time.monotonic() < ends:
        pi.fill(out, uniform, key, threads=3)

others = [threading.Thread(target=busy) for _ in range(3)]
for other in others:
    other.start()
forks = 0
while time.monotonic() < ends:
    child = os.fork()
    if not child:
        right = digest(pi.fill(np.zeros(5_000_000, np.float32), uniform, key, threads=4)) == whole
        os._exit(0 if right else 1)
    wait(child)
    forks += 1
for other in others:
    other.join()
assert forks > 5, forks
print("ok")
"""


@pytest.mark.parametrize("then", ["leave", "go on"])
def test_a_fork_inside_progress(then):
    assert run_python(PREFACE + IN_PROGRESS, then).stdout == "ok\n"


def test_a_fork_while_other_threads_fill():
    assert run_python(PREFACE + WHILE_OTHERS_FILL).stdout == "ok\n"
