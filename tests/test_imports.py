# SPDX-License-Identifier: Apache-2.0
"""G7: `import philinit` costs NumPy and nothing more, and starts no thread."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import philinit

FOREIGN = (
    "numba",
    "llvmlite",
    "ml_dtypes",
    "tensorflow",
    "torch",
    "jax",
    "keras",
    "cupy",
    "scipy",
    "click",
    "rich",
    "psutil",
)

PROBE = """
import json, sys, threading
import numpy
def os_threads():
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("Threads:"))
    except OSError:
        return threading.active_count()
before = os_threads(), set(sys.modules)
{statement}
new = {{name.partition(".")[0] for name in set(sys.modules) - before[1]}}
print(json.dumps({{"modules": sorted(new), "threads": os_threads() - before[0]}}))
"""


def probe(statement):
    """What `statement` adds to a process that has imported NumPy: modules and threads."""
    code = PROBE.format(statement=statement)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    return json.loads(done.stdout)


def foreign(found):
    return sorted(set(found["modules"]) & set(FOREIGN))


def test_g7_import_brings_numpy_only():
    found = probe("import philinit")
    assert foreign(found) == []
    assert "philinit" in found["modules"]


def test_g7_neither_do_the_initializers():
    assert foreign(probe("import philinit; philinit.GlorotUniform(seed=1)")) == []


def test_g7_import_starts_no_thread():
    assert probe("import philinit")["threads"] == 0


def test_g7_building_an_initializer_brings_numpy_only():
    found = probe("import philinit; philinit.GlorotUniform(seed=42); philinit.Key.from_seed(1)")
    assert foreign(found) == []
    assert found["threads"] == 0


def test_the_command_line_is_not_imported_with_the_package():
    assert probe("import philinit.__main__ as m, sys; assert 'philinit.cli' not in sys.modules")


@pytest.mark.parametrize("name", ["numba", "ml_dtypes", "llvmlite"])
def test_the_check_would_catch_an_import(name):
    pytest.importorskip(name)
    assert name in foreign(probe(f"import philinit, {name}"))


def test_the_check_would_catch_a_thread():
    statement = (
        "import philinit; e = threading.Event(); "
        "t = threading.Thread(target=e.wait, daemon=True); t.start()"
    )
    assert probe(statement)["threads"] == 1


def test_every_public_name_is_there_for_readers_and_at_run_time() -> None:
    """The names under TYPE_CHECKING, those in __all__, and those that can be had are the same."""
    tree = ast.parse(Path(philinit.__file__).read_text())
    imports = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    written = {
        a.asname for n in imports for a in n.names if (n.module or "").startswith("philinit")
    }
    assert written - {"__version__"} == set(philinit.__all__)
    for name in philinit.__all__:
        assert getattr(philinit, name) is not None
        assert name in dir(philinit)
    assert callable(philinit.fill)  # and not the module of that name
    with pytest.raises(AttributeError, match="no attribute 'glorot'"):
        _ = philinit.glorot
