# SPDX-License-Identifier: Apache-2.0
"""The demo as a user types it: piped, on narrow terminals, with bad options, interrupted."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip("click")
pytest.importorskip("rich")
pytest.importorskip("psutil")

from rich.console import Console

from philinit.cli import demo
from philinit.cli.console import themed
from philinit.cli.tables import print_tables
from philinit.tools.demo.contenders import rows_that_fit as fit
from tests.support.command_line import assert_refused, philinit, typed


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """One small demo with peers: what it printed, and its JSON."""
    pytest.importorskip("keras")
    pytest.importorskip("tensorflow")
    path = tmp_path_factory.mktemp("demo") / "demo.json"
    arguments = ("--params", "2e5", "--init", "glorot_uniform", "--json", str(path))
    done = philinit("demo", *arguments, timeout=300)  # five processes import TensorFlow
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, json.loads(path.read_text(encoding="utf-8"))


# ---------------------------------------------------------------------------- the whole command


def test_the_demo_measures_every_contender(small):
    document = small[1]
    names = [entry["spec"]["contender"] for entry in document["results"]]
    assert names == [
        "memset",
        "philinit",
        "philinit_tensorflow",
        "tf_uniform",
        "keras_uniform",
    ]
    assert document["machine"]["versions"]["numpy"] == np.__version__
    for entry in document["results"][1:]:
        assert entry["spec"]["shape"] == [200, 1000]
        assert entry["result"]["seconds"] > 0


def test_the_demo_holds_philinit_against_theory(small):
    for entry in small[1]["results"]:
        if entry["spec"]["contender"].startswith("philinit"):
            found = entry["result"]
            assert found["mean_ok"], found
            assert found["stddev_ok"], found
            assert found["min_ok"], found
            assert found["max_ok"], found


def test_the_demo_compares_bits_with_tensorflow_and_keras(small):
    bits = {e["spec"]["contender"]: e["result"].get("different_bits") for e in small[1]["results"]}
    assert bits["philinit_tensorflow"] == 0
    assert bits["keras_uniform"] == 0
    assert bits["philinit"] is None  # the native stream is its own


def test_piped_output_is_plain_and_fits_100_columns(small):
    text = small[0]
    assert "\x1b" not in text
    assert "\r" not in text
    assert max(map(len, text.splitlines())) <= 100
    for word in ("memset", "GB/s", "share", "1st step", "Compared with theory", "all equal"):
        assert word in text


def test_one_dtype_alone_on_one_thread():
    pytest.importorskip("tensorflow")
    arguments = ("--params", "1_000_000", "--dtype", "bfloat16", "--threads", "1", "--no-peers")
    done = philinit("demo", *arguments, "--init", "he_normal")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1,000 x 1,000 bfloat16" in done.stdout
    assert "keras Glorot" not in done.stdout


def test_help_lists_options_and_examples():
    done = philinit("demo", "--help")
    assert done.returncode == 0
    for word in ("--params", "--dtype", "--threads", "--seed", "--no-peers", "--json", "Examples"):
        assert word in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--params", "many"], "'many' is not a whole number such as 1000000 or 2e8"),
        (["--params", "1e400"], "'1e400' is not a whole number such as 1000000 or 2e8"),
        (["--params", "nan"], "'nan' is not a whole number such as 1000000 or 2e8"),
        (["--params", "10"], "must be a whole number, 1000 or more; got 10"),
        (["--params", "-1e9"], "must be a whole number, 1000 or more; got -1e9"),
        (["--params", "1000.5"], "must be a whole number, 1000 or more; got 1000.5"),
        (["--dtype", "int8"], "'int8' is not one of"),
        (["--init", "zeros"], "'zeros' is not one of"),
        (["--threads", "0"], "0 is not in the range"),
        (["--seed", "-1"], "-1 is not in the range"),
        (["--json", "no/such/folder/x.json"], "does not exist"),
        (["--speed", "1"], "No such option"),
        (["more"], "unexpected extra argument"),
    ],
)
def test_bad_options_are_refused_in_a_sentence(arguments, message):
    assert_refused(typed("demo", *arguments), message)


@pytest.mark.skipif(os.name != "posix", reason="signals as a terminal sends them")
@pytest.mark.parametrize("group", [True, False], ids=["ctrl-c", "kill -INT of the parent"])
def test_ctrl_c_kills_the_child_and_prints_what_there_is(group, tmp_path):
    pytest.importorskip("tensorflow")
    path = tmp_path / "demo.json"
    command = [sys.executable, "-u", "-m", "philinit", "demo", "--params", "1e6", "--json"]
    parent = subprocess.Popen(
        [*command, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C reaches a whole group: this one, not pytest's
    )
    try:
        for line in parent.stdout:
            if "memset: done" in line:
                break
        time.sleep(0.5)  # the next child is importing TensorFlow
        os.killpg(parent.pid, signal.SIGINT) if group else os.kill(parent.pid, signal.SIGINT)
        out, err = parent.communicate(timeout=30)
    finally:
        parent.kill()
        parent.wait()
    assert parent.returncode == 130
    assert "interrupted during" in out
    assert re.search(r"memset +\d", out)
    assert "Traceback" not in out + err
    kept = json.loads(path.read_text(encoding="utf-8"))
    assert [entry["spec"]["contender"] for entry in kept["results"]] == ["memset"]
    with pytest.raises(ProcessLookupError):  # nobody of the group is left
        os.killpg(parent.pid, 0)


# ---------------------------------------------------------------------------- tables


def rendered(width, results):
    out = io.StringIO()
    print_tables(themed(Console(file=out, width=width, color_system=None)), results)
    return out.getvalue()


def test_a_narrow_terminal_gets_lists_with_the_same_numbers(small):
    results = small[1]["results"]
    wide, narrow = rendered(100, results), rendered(40, results)
    for text, width in ((wide, 100), (narrow, 40)):
        assert max(map(len, text.splitlines())) <= width
    numbers = re.findall(r"\d\.\d{4}e[+-]\d\d", wide)
    assert numbers
    assert set(numbers) <= set(re.findall(r"\d\.\d{4}e[+-]\d\d", narrow))
    assert "GB/s 0." in narrow


def test_tables_of_a_billion_weights_fit_80_columns_in_whole_words(small):
    results = json.loads(json.dumps(small[1]["results"]))
    results[0]["result"] = {"new": 11.23e9, "resident": 25.67e9}
    for entry in results[1:]:
        entry["spec"]["shape"] = [1_000_000, 1000]
        entry["result"] |= {"seconds": 12.345, "again_rate": 17.89e9, "z_mean": -2.5}
        entry["result"] |= {"build_extra": 7 << 30, "step_extra": 7 << 30, "z_stddev": +2.5}
    results[1]["result"]["seconds"] = 0.355
    normal = json.loads(json.dumps(results[-1]))
    normal["spec"] |= {"contender": "keras_normal", "init": "he_normal"}
    text = rendered(80, [*results, normal])
    assert max(map(len, text.splitlines())) <= 80
    titles = [entry["title"] for entry in results if entry["title"] != "memset"]
    starts = [line[1:21].rstrip() for line in text.splitlines()]
    assert all(starts.count(title) == 2 for title in titles), text  # in one line, of both tables
    wanted = ["memset", "100%", "11.23", "0.355", "12.345", "34.8", "17.89", "+7.00 GiB"]
    for whole in (*wanted, "-2.5 +2.5", "all equal"):
        assert re.search(rf"(?<!\S){re.escape(whole)}(?!\S)", text), whole
    assert "new tf.Variable by" in text
    assert "verdict" in text


def test_a_number_that_is_off_is_named(small):
    results = json.loads(json.dumps(small[1]["results"]))
    results[1]["result"] |= {"stddev_ok": False, "max_ok": False}
    results[2]["result"] |= {"different_bits": 12_345}
    text = rendered(120, results)
    assert "stddev, max off" in text
    assert "12,345 differ" in text


# ---------------------------------------------------------------------------- size


def test_size_follows_free_memory():
    gib = 1 << 30
    assert fit(10**6, "float32", 1, 24 * gib) == 10**6
    assert fit(10**6, "float32", 3, 24 * gib) == 10**6  # a billion, peers too, on 24 GiB
    assert fit(10**6, "float32", 3, 9 * gib) == 8 * gib // 12_000
    assert fit(10**6, "bfloat16", 1, 2 * gib) == gib // 2_000
    assert fit(10**6, "float32", 1, gib) == 0
    assert fit(10**6, "float32", 1, 0) == 0


def test_the_plan_says_when_memory_makes_it_smaller(monkeypatch):
    out = io.StringIO()
    console = themed(Console(file=out, width=200, color_system=None))
    monkeypatch.setattr(demo, "free_memory", lambda: 9 << 30)
    planned = demo._plan(console, 10**6, "float32", ("glorot_uniform",), None, 42, True)
    sizes = {m.contender: m.work.size for m in planned if m.contender != "memset"}
    assert sizes["philinit"] == 10**9
    assert sizes["keras_uniform"] == (8 << 30) // 12_000 * 1000
    assert f"TensorFlow and Keras get {sizes['keras_uniform']:,} weights" in out.getvalue()
    assert "because 9.0 GiB are free" in out.getvalue() or "and 9.0 GiB are free" in out.getvalue()
