# SPDX-License-Identifier: Apache-2.0
"""G7: `import philinit` brings no library, its names NumPy and nothing more; no thread starts."""

import ast
import functools
import sys
from pathlib import Path

import pytest

import philinit
from tests.support.planted import assert_caught
from tests.support.processes import run_json

# What `import philinit` brings beyond NumPy and the standard library: these of its own modules.
OWN = {"philinit", "philinit._version", "philinit.forks"}

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
exec(sys.argv[1])
new = sorted(set(sys.modules) - before[1])
print(json.dumps({"modules": new, "threads": os_threads() - before[0]}))
"""


@functools.cache
def probe(statement):
    """What `statement` adds to a process that has imported NumPy: modules and threads."""
    return run_json(PROBE, statement)


def beyond_the_standard_library(found):
    """The new modules, without those that Python itself ships."""
    names = set(found["modules"])
    return {name for name in names if name.partition(".")[0] not in sys.stdlib_module_names}


def check_import(statement):
    """Nothing but the modules of OWN: even another of NumPy's would be here."""
    assert beyond_the_standard_library(probe(statement)) == OWN


def check_no_stranger(statement):
    """Nothing but modules of philinit."""
    found = beyond_the_standard_library(probe(statement))
    assert {name for name in found if name.partition(".")[0] != "philinit"} == set()


def check_no_thread(statement):
    assert probe(statement)["threads"] == 0


BUILD = "import philinit; philinit.GlorotUniform(seed=42); philinit.Key.from_seed(1)"


def test_g7_import_brings_numpy_only():
    check_import("import philinit")


def test_g7_import_brings_not_even_numpy():
    code = "import json, sys, philinit; print(json.dumps(sorted(sys.modules)))"
    assert "philinit" in (found := run_json(code)) and "numpy" not in found


def test_g7_building_an_initializer_brings_numpy_only():
    check_no_stranger(BUILD)


@pytest.mark.parametrize("statement", ["import philinit", BUILD])
def test_g7_no_thread_is_started(statement):
    check_no_thread(statement)


def test_the_command_line_is_not_imported_with_the_package():
    found = probe("import philinit.__main__")
    assert not any(name.startswith("philinit.cli") for name in found["modules"])


@pytest.mark.parametrize("name", ["numba", "ml_dtypes", "philinit.parts, philinit.kernels.plan"])
def test_the_check_would_catch_an_import(name):
    """Of a library, and of a module of our own that ought to come later."""
    assert_caught(check_import, f"import philinit, {name}")
    if not name.startswith("philinit"):
        assert_caught(check_no_stranger, f"import philinit, {name}", match=name)


def test_the_check_would_catch_a_thread():
    statement = (
        "import philinit; e = threading.Event(); "
        "t = threading.Thread(target=e.wait, daemon=True); t.start()"
    )
    assert_caught(check_no_thread, statement)


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
