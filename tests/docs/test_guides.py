# SPDX-License-Identifier: Apache-2.0
"""The code of docs/ runs: Python and shell of every guide, a cluster for each engine.

The blocks of a page are one script, in their order; in sharding.md those of a section are. What
needs a framework runs in other processes, and shares one where it can, for the seconds that
TensorFlow takes to start. docs/migrating.md and docs/jax.md have tests of their own.
"""

import re
import shlex
import sys

import pytest

import philinit as pi
from tests.support import processes
from tests.support.paths import DOCS

FRAMEWORKS = ("tensorflow", "keras", "torch", "jax", "matplotlib")


def blocks_of(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def page(name):
    return (DOCS / name).read_text(encoding="utf-8")


def run(command, folder):
    variables = {"TF_CPP_MIN_LOG_LEVEL": 3, "MPLBACKEND": "Agg", "COLUMNS": 100}
    return processes.run(command, cwd=folder, env=variables).stdout


def frameworks_of(code):
    found = re.findall(r"^\s*(?:import|from) (.*)$", code, re.MULTILINE)
    return [name for name in FRAMEWORKS if re.search(rf"\b{name}\b", " ".join(found))]


def require(code):
    for framework in frameworks_of(code):
        pytest.importorskip(framework)


def python_of(name):
    return "\n".join(blocks_of(page(name), "python"))


ELSEWHERE = ("jax.md", "migrating.md", "sharding.md")
GUIDES = sorted(p.name for p in DOCS.glob("*.md") if p.name not in ELSEWHERE)
SCRIPTS = {name: code for name in GUIDES if (code := python_of(name))}
WITH_FRAMEWORK = [name for name in SCRIPTS if frameworks_of(SCRIPTS[name])]
ALONE = [name for name in SCRIPTS if name not in WITH_FRAMEWORK]
WITH_SHELL = [name for name in GUIDES if blocks_of(page(name), "sh")]
SECTIONS = {
    section.partition("\n")[0]: section
    for section in re.split(r"^## ", page("sharding.md"), flags=re.MULTILINE)
    if blocks_of(section, "python")
}

RUN_ALL = """
import runpy, sys
for path in sys.argv[1:]:
    print(path, flush=True)
    runpy.run_path(path, run_name="__main__")
"""


@pytest.mark.parametrize("name", ALONE)
def test_the_python_of_a_page_runs(name):
    exec(compile(SCRIPTS[name], name, "exec"), {})


def test_the_python_of_pages_with_frameworks_runs(tmp_path):
    assert len(WITH_FRAMEWORK) >= 3
    for name in WITH_FRAMEWORK:
        require(SCRIPTS[name])
        (tmp_path / f"{name}.py").write_text(SCRIPTS[name], encoding="utf-8")
    scripts = [f"{name}.py" for name in WITH_FRAMEWORK]
    run([sys.executable, "-c", RUN_ALL, *scripts], tmp_path)


@pytest.mark.parametrize("name", WITH_SHELL)
def test_the_commands_of_a_page_run(name, tmp_path):
    for module in ("click", "rich", "psutil"):
        pytest.importorskip(module)
    lines = "".join(blocks_of(page(name), "sh")).splitlines()
    assert len(lines) > 4
    for line in lines:
        command, *arguments = shlex.split(line, comments=True)
        assert command == "philinit"
        run([sys.executable, "-m", "philinit", *arguments], tmp_path)


@pytest.mark.parametrize("section", SECTIONS)
def test_every_engine_shards_as_the_guide_says(section, tmp_path):
    (code,) = blocks_of(SECTIONS[section], "python")
    require(code)
    script = tmp_path / "shards.py"
    script.write_text(code, encoding="utf-8")
    command = re.search(r"`torchrun (.*) shards.py`", SECTIONS[section])
    if command:
        launcher = ["-m", "torch.distributed.run", "--standalone", *command[1].split()]
        run([sys.executable, *launcher, str(script)], tmp_path)
    else:
        run([sys.executable, str(script)], tmp_path)


def test_the_guide_to_shards_has_every_engine():
    text = " ".join(SECTIONS)
    assert len(SECTIONS) == 6
    for engine in ("parameter servers", "DTensor", "JAX", "torch"):
        assert engine in text


def test_the_table_of_gains_is_what_gain_returns():
    criteria = ("convention", "second_moment", "variance", "gradient")
    rows = re.findall(
        r"^\| (\w+)(?: \([\d.]+\))? \|((?: [\d.]+ \|){4})$", page("initializers.md"), re.M
    )
    assert len(rows) == 14
    for activation, cells in rows:
        numbers = [float(cell) for cell in cells.strip(" |").split("|")]
        for number, criterion in zip(numbers, criteria, strict=True):
            assert number == pytest.approx(pi.gain(activation, criterion=criterion), abs=5e-4)
