# SPDX-License-Identifier: Apache-2.0
"""Children answer requests; what crashes, hangs or prints there is told in a sentence here."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from philinit.tools.measure.children import Children

ANSWERS = """
import os, signal, sys, time

def answer(request, emit):
    print(request.get("say", ""))
    for number in range(request.get("events", 0)):
        emit({"number": number})
    if "run" in request:
        exec(request["run"])
    return {"pid": os.getpid(), "sigint": signal.getsignal(signal.SIGINT) is signal.SIG_IGN}
"""


@pytest.fixture(autouse=True)
def answers(tmp_path, monkeypatch):
    """A module `answers` that only children can import."""
    (tmp_path / "answers.py").write_text(ANSWERS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def test_replies_come_after_events_and_apart_from_what_is_printed():
    seen = []
    with Children("answers", 60.0) as children:
        first = children.ask("one", {"events": 3}, seen.append)
        assert seen == [{"number": 0}, {"number": 1}, {"number": 2}]
        assert first["sigint"]  # Ctrl-C is the parent's
        assert children.ask("one", {"say": "{}"}) == first  # the same process
        assert children.ask("two", {})["pid"] != first["pid"]
        children.end("one")
        assert children.names == ["two"]
        assert children.ask("one", {})["pid"] != first["pid"]
        processes = [child.process for child in children._running.values()]
    assert all(process.poll() is not None for process in processes)  # nobody is left behind


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(
    ("run", "words"),
    [
        ("os.abort()", "the process was ended by SIGABRT"),
        ("os._exit(3)", "exit code 3"),
        ("sys.exit('no license')", "no license"),
        ("raise ValueError('wrong')", "ValueError: wrong"),
        ("print('last words', flush=True); os._exit(0)", "last words"),
        ("print('mine', 'W0000 greetings', sep=chr(10), flush=True); os._exit(1)", "mine"),
        ("time.sleep(60)", "no answer after 2 s"),
    ],
)
def test_how_a_child_ended_is_told_and_the_next_one_works(run, words):
    with Children("answers", 2.0 if "sleep" in run else 60.0) as children:
        with pytest.raises(ChildProcessError) as told:
            children.ask("one", {"run": run})
        assert str(told.value) == words
        assert children.names == []
        assert children.ask("one", {})["pid"]


def test_a_module_that_cannot_be_imported_is_told():
    with (
        Children("no_such_module", 60.0) as children,
        pytest.raises(ChildProcessError, match="No module named 'no_such_module'"),
    ):
        children.ask("one", {})


def test_who_speaks_is_waited_for():
    with Children("answers", 3.0) as children:
        children.ask("one", {})  # it has started
        seen = []
        slow = "for n in range(4): time.sleep(0.9); emit({'number': n})"
        children.ask("one", {"run": slow}, seen.append)
    assert len(seen) == 4


def test_children_asked_by_threads_end_with_the_block_and_start_no_more():
    told = []

    def ask(children, name):
        try:
            children.ask(name, {"run": "time.sleep(60)"})
        except ChildProcessError as error:
            told.append(str(error))

    with Children("answers", 60.0) as children:
        threads = [threading.Thread(target=ask, args=(children, name)) for name in "ab"]
        for thread in threads:
            thread.start()
        while len(children.names) < 2:
            time.sleep(0.01)
    for thread in threads:
        thread.join(10.0)
    assert len(told) == 2
    ask(children, "c")
    assert told[-1] == "interrupted"


PARENT = """
from philinit.tools.measure.children import Children
with Children("answers", 60.0) as children:
    request = {"run": "time.sleep(60)", "events": 1}
    children.ask("one", request, lambda event: print("asked", flush=True))
"""


@pytest.mark.skipif(os.name != "posix", reason="signals as a terminal sends them")
@pytest.mark.parametrize("group", [True, False], ids=["ctrl-c", "kill -INT of the parent"])
def test_ctrl_c_leaves_nobody_behind(group):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert parent.stdout.readline() == "asked\n"
        os.killpg(parent.pid, signal.SIGINT) if group else os.kill(parent.pid, signal.SIGINT)
        assert "KeyboardInterrupt" in parent.communicate(timeout=30)[1]
        with pytest.raises(ProcessLookupError):
            os.killpg(parent.pid, 0)
    finally:
        parent.kill()
        parent.communicate()
