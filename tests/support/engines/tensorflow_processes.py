# SPDX-License-Identifier: Apache-2.0
"""Processes of a TensorFlow cluster on this machine, forked so that TensorFlow is imported once.

A process can be forked as long as it has no threads: import this before NumPy, whose OpenBLAS
starts some, and fork before TensorFlow runs its first operation.
"""

import contextlib
import json
import os
import random
import signal
import socket
import sys
import threading
import traceback
from pathlib import Path

os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"  # its pool keeps memory, which would hide a copy


def free_addresses(count):
    """Ports below those that systems give to outgoing connections, which could take one again."""
    found = set()
    while len(found) < count:
        port = random.randrange(16384, 32768)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.add(f"127.0.0.1:{port}")
    return list(found)


@contextlib.contextmanager
def forked(function, *arguments):
    """The id of a new process that calls `function`; it ends with the block, or with its parent."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(write)
        _child(read, function, arguments)
    os.close(read)
    try:
        yield pid
    finally:
        os.close(write)
        with contextlib.suppress(ChildProcessError):  # it was joined
            if os.waitpid(pid, os.WNOHANG) == (0, 0):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def joined(pid):
    """The exit status of a forked process, when it has ended."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _child(read, function, arguments):
    def leave_with_the_parent():
        os.read(read, 1)  # nobody writes: it returns when the other end is closed
        os._exit(0)

    threading.Thread(target=leave_with_the_parent, daemon=True).start()
    status = 1
    try:
        function(*arguments)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


# --- sections ------------------------------------------------------------------------------------

counts = {"compared": 0, "refused": 0}


def same_bytes(found, expected):
    """Whether two arrays have one shape and the same bytes; comparisons are counted."""
    counts["compared"] += 1
    return found.shape == expected.shape and found.tobytes() == expected.tobytes()


@contextlib.contextmanager
def refused(error, *texts):
    """The block must raise such an error, with these texts in it; refusals are counted."""
    raised = None
    try:
        yield
    except error as found:
        raised = found
    assert raised is not None, f"no {error.__name__}: {texts}"
    assert all(text in str(raised) for text in texts), raised
    counts["refused"] += 1


def tell(section, *arguments):
    """Run a section, and print as a line of JSON what became of it.

    "failed" is its traceback, or None; "compared" and "refused" are how often it compared tensors
    byte by byte, and saw the error that it wanted; beside them are figures that it returns.
    """
    counts.update(compared=0, refused=0)
    failed, figures = None, None
    try:
        figures = section(*arguments)
    except Exception:
        failed = traceback.format_exc()
    print(
        json.dumps({section.__name__: {"failed": failed, **counts, **(figures or {})}}), flush=True
    )


# --- memory --------------------------------------------------------------------------------------

measurable = Path("/proc/self/clear_refs").exists()


def _mib(pid, name):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


@contextlib.contextmanager
def growth(*pids):
    """A list that has, after the block, the most MiB that each process had beyond what it has."""
    for pid in pids:
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    before = [_mib(pid, "VmRSS") for pid in pids]
    grown = []
    yield grown
    grown += [_mib(pid, "VmHWM") - b for pid, b in zip(pids, before, strict=True)]
