# SPDX-License-Identifier: Apache-2.0
"""`philinit bench` as a user types it: piped, narrow, with peers that are missing, interrupted."""

import importlib.util
import io
import json
import os
import signal
import subprocess
import sys

import pytest

pytest.importorskip("click")
pytest.importorskip("rich")
pytest.importorskip("psutil")

from rich.console import Console

from philinit.cli import bench
from philinit.cli.console import themed
from philinit.tools.bench.results import Report, Result
from tests.support.command_line import assert_refused, philinit

SMALL = ("bench", "--params", "2e5", "--against", "numpy")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """One small run beside NumPy: what it printed, its JSON, its picture."""
    pytest.importorskip("matplotlib")
    folder = tmp_path_factory.mktemp("bench")
    done = philinit(*SMALL, "--json", folder / "b.json", "--plot", folder / "b.svg")
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads((folder / "b.json").read_text(encoding="utf-8"))
    return done.stdout, document, (folder / "b.svg").read_text(encoding="utf-8")


def test_three_distributions_are_timed_in_both_memories(small):
    found = {(r["workload"], r["contender"], r["memory"]) for r in small[1]["results"]}
    for name in ("uniform", "truncated normal", "normal"):
        for memory in ("new", "resident"):
            assert (name, "memset", memory) in found
            assert (name, "philinit", memory) in found
            assert ((name, "NumPy, SFC64", memory) in found) is (name != "truncated normal")
    assert all(r["weights"] == 200_000 for r in small[1]["results"])
    assert {r["contender"] for r in small[1]["results"]} == {
        "memset",
        "philinit",
        "philinit, TensorFlow's bits",
        "NumPy, SFC64",
    }


def test_piped_output_is_plain_and_says_what_is_not_there(small):
    text = small[0]
    assert "\x1b" not in text
    assert "\r" not in text
    assert max(map(len, text.splitlines())) <= 100
    for words in ("200,000 float32 weights", "philinit.Uniform", "of memset", "GB/s", "written: "):
        assert words in text
    assert "NumPy, SFC64: has no truncated normal" in text


def test_the_picture_names_distributions_and_the_memset_line(small):
    assert small[2].startswith("<?xml")
    assert "<svg" in small[2]


def test_json_alone_goes_to_stdout():
    done = philinit(*SMALL, "--dtype", "bfloat16", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert {r["dtype"] for r in document["results"]} == {"bfloat16"}
    assert "has no bfloat16" in [skip["reason"] for skip in document["left_out"]]
    assert done.stderr == ""


def test_a_peer_that_is_not_installed_is_named_with_the_command_that_installs_it(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u\nfind = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'torch' else find(name, *a)\n"
    )
    done = philinit(*SMALL, "--against", "torch", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1, done.stdout + done.stderr
    assert 'torch is not installed: pip install "torch"' in done.stdout
    assert "NumPy" not in done.stderr
    assert "numpy Generator.random" in done.stdout  # the others are measured all the same


def test_each_peer_can_be_asked_for(tmp_path):
    expected = {
        "tensorflow": {"tf.random.stateless_truncated_normal", "philinit.Normal, tf.Variable"},
        "keras": {"keras.initializers.TruncatedNormal"},
        "torch": {"torch.nn.init.trunc_normal_"},
        "jax": {"jax.random.truncated_normal", "jax.random.truncated_normal, rbg"},
    }
    found = [library for library in expected if importlib.util.find_spec(library)]
    if not found:
        pytest.skip("no peer but NumPy is installed")
    path = tmp_path / "b.json"
    asked = [word for library in found for word in ("--against", library)]
    done = philinit("bench", "--params", "1e5", *asked, "--json", path, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(path.read_text(encoding="utf-8"))
    titles = {r["title"] for r in document["results"]}
    late = [skip["reason"] for skip in document["left_out"] if "no time" in skip["reason"]]
    for library in found if not late else ():  # a busy machine: what there was time for is right
        assert expected[library] <= titles
    assert [skip for skip in document["left_out"] if skip["reason"] not in late] == []


def test_help_lists_options_and_examples():
    done = philinit("bench", "--help")
    assert done.returncode == 0
    for word in ("--against", "--params", "--dtype", "--plot", "--json", "Examples", "Exit codes"):
        assert word in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--against", "theano"], "'theano' is not one of"),
        (["--params", "10"], "must be a whole number, 1000 or more; got 10"),
        (["--dtype", "int8"], "'int8' is not one of"),
        (["--plot", "b.gif"], "must end in .png or .svg; got b.gif"),
        (["--plot", "no/such/folder/b.svg"], "folder no/such/folder does not exist"),
        (["--json", "no/such/folder/b.json"], "folder no/such/folder does not exist"),
        (["more"], "unexpected extra argument"),
    ],
)
def test_bad_options_are_refused_in_a_sentence(arguments, message):
    assert_refused(philinit("bench", *arguments), message)


@pytest.mark.skipif(os.name != "posix", reason="signals as a terminal sends them")
@pytest.mark.parametrize("group", [True, False], ids=["ctrl-c", "kill -INT of the parent"])
def test_ctrl_c_ends_the_children_and_prints_what_there_is(group, tmp_path):
    path = tmp_path / "b.json"
    command = [sys.executable, "-u", "-m", "philinit", "bench", "--params", "1e8", "--against"]
    parent = subprocess.Popen(
        [*command, "numpy", "--json", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert "threads" in parent.stdout.readline()
        with pytest.raises(subprocess.TimeoutExpired):
            parent.wait(timeout=2.0)  # it is at work
        os.killpg(parent.pid, signal.SIGINT) if group else os.kill(parent.pid, signal.SIGINT)
        out, err = parent.communicate(timeout=30)
    finally:
        parent.kill()
        parent.wait()
    assert parent.returncode == 130, out + err
    assert "interrupted: the tables are incomplete" in out
    assert "Traceback" not in out + err
    assert json.loads(path.read_text(encoding="utf-8"))["machine"]["threads"] >= 1
    with pytest.raises(ProcessLookupError):  # nobody of the group is left
        os.killpg(parent.pid, 0)


# ---------------------------------------------------------------------------- tables


def result(contender, memory, seconds, share=1):
    title, weights = contender.lower(), 1000 // share
    return Result("w", contender, title, memory, "float32", weights, 4 * weights, share, seconds)


def test_factors_and_shares_are_within_one_kind_of_memory():
    results = [
        result("memset", "new", [4.0, 4.0, 9.0]),
        result("memset", "resident", [1.0]),
        result("philinit", "new", [5.0]),
        result("philinit", "resident", [2.0]),
        result("torch", "resident", [30.0]),
        result("tf.random", "new", [20.0], share=4),
    ]
    rows = bench.table_rows(results)
    assert [row[3] for row in rows] == ["100%", "100%", "80%", "50%", "3%", "5%"]
    assert [row[4] for row in rows] == ["", "", "", "", "15", "16"]
    assert rows[-1][0] == "tf.random (1/4)"


def test_a_narrow_terminal_gets_lists():
    report = Report()
    report.expect(result("philinit", "new", [0.005]))
    out = io.StringIO()
    bench._print(
        themed(Console(file=out, width=40, color_system=None)), report, 1000, "float32", []
    )
    assert max(map(len, out.getvalue().splitlines())) <= 40
    assert "GB/s 0.0008" in out.getvalue()
