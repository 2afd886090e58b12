# SPDX-License-Identifier: Apache-2.0
"""philinit.jax: any sharding, any mesh, one process or two, and always the bits of ``init(shape)``.

JAX counts its devices once a process and warns whoever forks after it was imported, so everything
runs in processes of its own: the scripts tests/support/engines/jax_*.py, whose cases are
tests here.
"""

import functools
import importlib.util
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

for _name in ("jax", "jaxlib"):
    if importlib.util.find_spec(_name) is None:
        pytest.skip(f"needs {_name}", allow_module_level=True)

ENGINES = Path(__file__).parents[1] / "support" / "engines"
ENVIRONMENT = os.environ | {"JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3"}
ENVIRONMENT.pop("XLA_FLAGS", None)  # the scripts say how many devices they want

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="needs /proc/self/clear_refs"
)

SHARDS = [
    "every_axis", "meshes", "one_device", "dtypes", "other_initializers",
    "each_shard_is_computed_once", "device_memory", "donation", "training", "bad_input",
    "documentation",
]  # fmt: skip
INITIALIZER = ["keys", "tracing", "traced_shards", "dtypes", "bad_input"]
FLAX = ["flax_linen", "flax_nnx"]
KERAS = ["model_parallel", "data_parallel", "layouts"]


@functools.cache
def outcome(script, *cases):
    """Run all `cases` of a script in one process; exit code, standard output, and errors."""
    done = subprocess.run(
        [sys.executable, ENGINES / script, *cases],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def check(script, cases, case):
    code, out, errors = outcome(script, *cases)
    assert code == 0 and f"{case}: passed\n" in out, f"exit code {code}\n{out}\n{errors}"


@pytest.mark.parametrize("case", SHARDS)
def test_g1_shards_on_eight_devices_are_the_whole_tensor(case):
    check("jax_shards.py", SHARDS, case)


@needs_proc
def test_g4_peak_memory_is_the_shards_and_a_donating_step_needs_no_more():
    check("jax_shards.py", ["memory"], "memory")


@pytest.mark.parametrize("case", INITIALIZER)
def test_initializer_traced_or_not(case):
    check("jax_initializer.py", INITIALIZER, case)


@pytest.mark.parametrize("case", FLAX)
def test_initializer_in_flax(case):
    if importlib.util.find_spec("flax") is None:
        pytest.skip("needs flax")
    check("jax_initializer.py", FLAX, case)


@pytest.mark.parametrize("case", KERAS)
def test_keras_layouts_on_eight_devices(case):
    if importlib.util.find_spec("keras") is None:
        pytest.skip("needs keras")
    check("jax_keras.py", KERAS, case)


@needs_proc
def test_g1_two_processes_fill_what_they_can_address_and_train(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    logs = [tmp_path / f"rank{rank}" for rank in range(2)]
    ranks = []
    try:
        for rank, log in enumerate(logs):
            command = [sys.executable, ENGINES / "jax_cluster.py", str(rank), port]
            with log.open("w") as out:
                ranks.append(
                    subprocess.Popen(command, env=ENVIRONMENT, stdout=out, stderr=subprocess.STDOUT)
                )
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline:
            codes = [rank.poll() for rank in ranks]
            if None not in codes or any(codes):  # all are done, or one has failed
                break
            time.sleep(0.1)
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait(timeout=30)
    said = [log.read_text() for log in logs]
    assert codes == [0, 0] and all("\ndone\n" in text for text in said), "\n".join(said)


def test_without_jax_the_import_says_what_to_install():
    code = """
import sys
sys.modules["jax"] = None
try:
    import philinit.jax
except ImportError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == 'philinit.jax needs JAX: pip install "philinit[jax]"\n'
