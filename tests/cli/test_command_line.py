# SPDX-License-Identifier: Apache-2.0
"""The command line as a whole: help, completion, missing packages, and what all commands share."""

import contextlib
import importlib.util
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys

import pytest

pytest.importorskip("click")
pytest.importorskip("rich")
pytest.importorskip("psutil")

import click
import psutil
from rich.style import Style

from philinit.cli.console import COLORS
from philinit.cli.group import COMMANDS, TO_TRY, cli
from tests.support.command_line import (
    COLOR,
    assert_refused,
    on_a_terminal,
    philinit,
)
from tests.support.processes import run, run_module, run_python

HEAVY = ("rich", "psutil", "numba", "llvmlite", "ml_dtypes", "tensorflow", "keras", "matplotlib")
NAMES = cli.list_commands(click.Context(cli))


def imported(*arguments):
    """What `philinit ...` imports beyond Python itself."""
    code = (
        "import json, sys\n"
        "from philinit.cli.group import cli\n"
        f"cli({list(arguments)!r}, standalone_mode=False)\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)\n"
    )
    done = run_python(code, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr))


# ---------------------------------------------------------------------------- help


def test_help_lists_every_command_and_what_exit_codes_mean():
    done = philinit("--help")
    assert done.returncode == 0
    assert {"demo", "show", "doctor", "selftest", "completion"} <= set(NAMES)
    for name in NAMES:
        assert re.search(rf"^  {name} +{re.escape(COMMANDS[name][1][:20])}", done.stdout, re.M)
    assert re.search(r"Exit codes:\n  0 .*\n  1 .*\n  2 .*\n  130  Ctrl-C", done.stdout)
    assert philinit("-h").stdout == done.stdout


def test_help_imports_no_command_and_nothing_heavy():
    found = imported("--help")
    assert {name.partition(".")[0] for name in found} & set(HEAVY) == set()
    own = {name for name in found if name.startswith("philinit.cli")}
    assert own == {"philinit.cli", "philinit.cli.group", "philinit.cli.help"}


def test_a_command_imports_itself_only():
    found = imported("show", "zeros", "--shape", "3")
    assert "philinit.cli.show" in found
    assert not {"philinit.cli.demo", "philinit.cli.doctor", "tensorflow", "matplotlib"} & found


@pytest.mark.parametrize("name", NAMES)
def test_each_command_explains_itself_with_examples(name):
    done = philinit(name, "--help")
    assert done.returncode == 0, done.stderr
    assert re.search(rf"^Examples:\n  (eval .*)?philinit {name}\b", done.stdout, re.MULTILINE)
    if name != "completion":
        codes = done.stdout.partition("\nExit codes:\n")[2]
        assert re.findall(r"^  (\d+) +\S", codes, re.MULTILINE) == ["0", "1", "2", "130"]
        assert "--json [PATH]" in done.stdout


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("columns", [40, 80])
def test_help_fits_the_terminal_in_whole_words(name, columns):
    wide = philinit(name, "--help", COLUMNS="200").stdout
    text = philinit(name, "--help", COLUMNS=str(columns)).stdout
    whole = set(wide.split())
    lines = text.splitlines()
    if columns == 80 or name != "completion":  # which prints the path of a file of fish
        assert max(map(len, lines)) < columns
    assert {word for word in text.split() if word != "\\"} == whole - {"\\"}


@pytest.mark.parametrize("name", NAMES)
def test_an_example_on_several_lines_is_one_command(name):
    def examples(columns):
        text = philinit(name, "--help", COLUMNS=str(columns)).stdout
        section = text.partition("Examples:\n")[2].partition("\n\n")[0]
        return [line.split() for line in section.replace("\\\n", "").splitlines()]

    assert examples(40) == examples(200)


def test_philinit_alone_says_three_things_to_try():
    done = philinit()
    assert (done.returncode, done.stderr) == (0, "")
    commands = re.findall(r"^  philinit (.*)$", done.stdout, re.MULTILINE)
    assert [command.split()[0] for command in commands] == ["show", "doctor", "fill"]
    assert "philinit --help" in done.stdout
    assert max(map(len, philinit(COLUMNS="40").stdout.splitlines())) < 40


def test_what_philinit_suggests_runs(tmp_path):
    for command in TO_TRY:
        words = shlex.split(command.replace("1e6,64", "1e3,64"))[1:]
        quick = ["--quick"] if words == ["doctor"] else []
        run_module("philinit", *words, *quick, cwd=tmp_path)  # raises unless it succeeds


def test_the_version_is_that_of_the_package():
    import philinit as package

    assert philinit("--version").stdout == f"philinit, version {package.__version__}\n"


def test_the_installed_script_is_the_same_command():
    script = shutil.which("philinit", path=os.path.dirname(sys.executable))
    if script is None:
        pytest.skip("philinit is not installed as a script beside this Python")
    assert run([script, "-h"]).stdout == philinit("-h").stdout


# ---------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fly"], "No such command 'fly'"),
        (["--fly"], "No such option"),
        (["selftest", "--json", "no/such/folder/x.json"], "folder no/such/folder does not exist"),
        (["completion"], "Missing argument"),
        (["completion", "tcsh"], "'tcsh' is not one of 'bash', 'zsh', 'fish'"),
    ],
)
def test_wrong_commands_and_options_are_refused_in_a_sentence(arguments, message):
    done = philinit(*arguments)
    assert_refused(done, message)
    assert re.fullmatch(r"Error: .* \(see philinit.* --help\)\n", done.stderr)


@pytest.mark.parametrize("package", ["click", "rich", "psutil"])
def test_a_missing_package_is_a_sentence_that_names_the_extra(package):
    code = (
        f"import sys; sys.modules['{package}'] = None; sys.argv = ['philinit', 'demo', '-h']\n"
        "from philinit.cli import main; main()"
    )
    done = run_python(code, check=False)
    assert_refused(done, 'pip install "philinit[cli]"', code=1)
    assert package in done.stderr


def test_python_m_philinit_says_the_same_of_a_missing_package(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['click'] = None\n")
    done = philinit("--help", PYTHONPATH=str(tmp_path))
    assert_refused(done, 'pip install "philinit[cli]"', code=1)


def is_live_test(process):
    """Not what Python itself starts to learn the name of the processor."""
    with contextlib.suppress(psutil.Error):  # it has ended meanwhile
        return "philinit.tools.measure.child" in process.cmdline()
    return False


@pytest.mark.skipif(os.name != "posix", reason="signals as a terminal sends them")
def test_ctrl_c_is_exit_code_130_and_no_traceback():
    child = subprocess.Popen(
        [sys.executable, "-m", "philinit", "doctor"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        while not any(map(is_live_test, psutil.Process(child.pid).children())):
            assert child.poll() is None
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=30)
    finally:
        child.kill()
        child.wait()
    assert child.returncode == 130
    assert (out, err) == ("", "interrupted\n")
    with pytest.raises(ProcessLookupError):  # the live tests are gone, too
        os.killpg(child.pid, 0)


# ---------------------------------------------------------------------------- --json


def test_json_goes_to_a_file_that_is_named(tmp_path):
    path = tmp_path / "found.json"
    done = philinit("show", "he_normal", "--shape", "30,20", "--json", path)
    assert done.returncode == 0, done.stderr
    assert f"written: {path}" in done.stdout.replace("\n", "")
    assert json.loads(path.read_text(encoding="utf-8"))["shape"] == [30, 20]


JSON = {
    "show": ["normal", "--shape", "1000", "--param", "stddev=0"],
    "fill": ["w.npy", "--init", "normal", "--shape", "1000", "--seed", "7"],
    "verify": ["w.npy", "--init", "normal", "--seed", "7"],
    "doctor": ["--quick"],
    "selftest": ["--device", "cpu"],
    "bench": ["--params", "1e5", "--against", "numpy"],
    "demo": ["--params", "1e6", "--no-peers", "--init", "he_normal"],
}


def test_every_command_that_finds_something_has_json():
    assert {*JSON, "completion"} == set(NAMES)


@pytest.mark.parametrize("alone", [["--json"], ["--json", "-"]])
def test_json_alone_is_all_that_is_printed(alone, tmp_path):
    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    for name, arguments in JSON.items():
        if name == "demo" and not importlib.util.find_spec("tensorflow"):
            continue
        done = run_module("philinit", name, *arguments, *alone, cwd=tmp_path, check=False)
        assert (done.returncode, done.stderr) == (0, ""), name
        assert isinstance(json.loads(done.stdout, parse_constant=refuse), dict), name


# ---------------------------------------------------------------------------- terminals


@pytest.mark.parametrize(
    ("columns", "arguments"),
    [
        (40, ["show", "he_normal", "--shape", "3,3,256,512", "--activation", "relu"]),
        (200, ["show", "he_normal", "--shape", "3,3,256,512", "--activation", "relu"]),
        (40, ["doctor", "--quick"]),
        (40, ["selftest", "--device", "cpu"]),
    ],
)
def test_piped_output_is_plain_and_keeps_to_the_columns(columns, arguments):
    done = philinit(*arguments, COLUMNS=str(columns))
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert "\r" not in done.stdout
    lines = [line for line in done.stdout.splitlines() if "to fix" not in line]
    assert max(map(len, lines)) <= columns


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_a_terminal_gets_colors_and_bars_unless_it_asks_for_none():
    command = ("selftest", "--device", "cpu")
    code, seen = on_a_terminal(*command, columns=40)
    assert code == 0, seen
    assert COLOR.search(seen)
    assert "\x1b[?25l" in seen  # the cursor hides behind a bar
    code, seen = on_a_terminal(*command, columns=200, NO_COLOR="1")
    assert code == 0, seen
    assert not re.search(r"\x1b\[[0-9;]*3[0-9][0-9;]*m", seen)
    code, seen = on_a_terminal(*command, columns=100, TERM="dumb")
    assert code == 0, seen
    assert "\x1b" not in seen


@pytest.mark.parametrize(
    "variables",
    [{"PYTHONIOENCODING": "ascii"}, {"LANG": "C"}, {"LANG": "C.UTF-8", "LC_ALL": "POSIX"}],
)
def test_a_terminal_without_unicode_gets_ascii(variables, tmp_path):
    unset = dict.fromkeys(("LC_ALL", "LC_CTYPE", "LANG"))
    show = ("show", "he_normal", "--shape", "30,20", "--json", tmp_path / "h\u00e9.json")
    done = philinit(*show, **unset | variables)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()
    assert "####" in done.stdout
    assert "h\\xe9.json" in done.stdout
    assert (tmp_path / "h\u00e9.json").exists()


def test_a_terminal_with_unicode_gets_bars():
    done = philinit("show", "he_normal", "--shape", "30,20", LANG="C.UTF-8", PYTHONUTF8="1")
    assert "\u2588" in done.stdout


def test_colors_stand_out_from_white_and_from_black():
    for name, style in COLORS.items():
        red, green, blue = Style.parse(style).color.get_truecolor()
        parts = [((c / 255 + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)]  # WCAG 2.1
        light = sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), parts, strict=True))
        assert 1.05 / (light + 0.05) >= 3.8, name
        assert (light + 0.05) / 0.05 >= 3.8, name


@pytest.mark.skipif(os.name != "posix", reason="needs a shell")
@pytest.mark.parametrize("arguments", ["--help", "show normal --shape 1000", "doctor --quick"])
def test_a_pipe_that_is_closed_early_is_no_error(arguments):
    command = f'"{sys.executable}" -m philinit {arguments} | head -1'
    done = run(["bash", "-c", command])
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1


# ---------------------------------------------------------------------------- completion


def completed(shell, words):
    """What click offers for the last of `words`, as the script of the shell asks for it."""
    count = str(len(words) - 1)
    done = philinit(
        _PHILINIT_COMPLETE=f"{shell}_complete", COMP_WORDS=" ".join(words), COMP_CWORD=count
    )
    assert done.returncode == 0, done.stderr
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


def test_commands_options_and_initializers_complete():
    assert completed("bash", ["philinit", "s"]) == ["show", "selftest"]
    assert "--json" in completed("bash", ["philinit", "doctor", "--"])
    assert completed("bash", ["philinit", "show", "he_"]) == ["he_normal", "he_uniform"]
    assert completed("bash", ["philinit", "show", "--dtype", "b"]) == ["bfloat16"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_the_script_of_each_shell(shell):
    done = philinit("completion", shell)
    assert done.returncode == 0, done.stderr
    assert f"_PHILINIT_COMPLETE={shell}_complete" in done.stdout
    assert "philinit" in done.stdout


def test_bash_completes_with_that_script():
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    program = f'philinit() {{ "{sys.executable}" -m philinit "$@"; }}; export -f philinit\n'
    wrapper = (
        program
        + philinit("completion", "bash").stdout.replace("$1)", "bash -c philinit)")
        + 'COMP_WORDS=(philinit do); COMP_CWORD=1; _philinit_completion; echo "${COMPREPLY[@]}"'
    )
    done = run(["bash", "-c", wrapper], check=False)
    assert done.stdout.split() == ["doctor"], done.stderr
