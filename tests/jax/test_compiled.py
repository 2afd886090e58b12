# SPDX-License-Identifier: Apache-2.0
"""Weights inside compiled programs of JAX, which XLA has philinit write.

The cases are the functions of tests/support/engines/jax_compiled.py, on eight CPU devices; what
ends a process, or begins with a new one, has processes of its own.
"""

import os
import signal
import subprocess
import sys

import pytest

from tests.support.paths import ROOT
from tests.support.processes import environment, run_python
from tests.support.workers import JAX, Workers, needs

needs("jax", "jaxlib")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    with Workers("jax_compiled", tmp_path_factory.mktemp("compiled"), env=JAX) as workers:
        yield workers


def test_xla_cuts_and_each_device_writes_its_own_part(compiled):
    assert compiled.passes("cut_by_xla")


def test_parts_that_would_not_be_equal_are_not_cut(compiled):
    assert compiled.passes("cut_unequally")


def test_explicit_axes_are_cut_where_a_sharding_is_named(compiled):
    assert compiled.passes("explicit_axes")


def test_batches_of_keys_and_layers(compiled):
    assert compiled.passes("batches")


def test_inside_shard_map(compiled):
    assert compiled.passes("within_shard_map")


def test_late_seeds_donated_steps_and_programs_compiled_ahead(compiled):
    assert compiled.passes("steps")


def test_weights_of_every_dtype_and_size(compiled):
    assert compiled.passes("dtypes")


def test_initializers_that_are_equal_but_not_the_same(compiled):
    assert compiled.passes("signs_of_zeros")


def test_an_exception_is_an_error_of_xlas_with_its_sentence(compiled):
    assert compiled.passes("errors")


def test_programs_have_names_for_initializers(compiled):
    assert compiled.passes("names")


def test_several_threads_at_once(compiled):
    assert compiled.passes("threads")


def test_an_interface_of_another_version_leaves_jaxs_callback(compiled):
    assert compiled.passes("another_version")


def test_g4_peak_memory_of_a_program_is_the_tensor(tmp_path):
    with Workers("jax_compiled", tmp_path, env=JAX) as fresh:
        assert fresh.passes("memory")


START = """
import jax, numpy as np, philinit as pi, philinit.jax as pij
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
kernel = pij.initializer(pi.HeNormal(seed=1))
rows = NamedSharding(Mesh(np.array(jax.devices()), ("x",)), P("x"))
key = jax.random.key(7)
"""
EIGHT = {**JAX, "XLA_FLAGS": "--xla_force_host_platform_device_count=8"}


@pytest.mark.parametrize("sharding", ["None", "rows"])
def test_the_persistent_cache_has_a_program_for_all_processes_and_keys(tmp_path, sharding):
    """Also one of several devices, where the sharding is named."""
    code = f"""
from jax._src import monitoring
events = []
monitoring.register_event_listener(lambda name, **_: events.append(name))
jax.config.update("jax_compilation_cache_dir", {str(tmp_path)!r})
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
program = jax.jit(lambda key: kernel(key, (16, 24), None, {sharding}))
key = jax.random.key(int(__import__("sys").argv[1]))
events.clear()
found = np.asarray(program(key))
want = pi.HeNormal(seed=1).named(0).named(int(__import__("sys").argv[1]))((16, 24))
assert found.tobytes() == want.tobytes()
print(*[name.rpartition("/")[2] for name in events if "cache_hit" in name or "cache_miss" in name])
"""
    said = [run_python(START + code, seed, env=EIGHT).stdout for seed in ("7", "8")]
    assert ["cache_misses" in text for text in said] == [True, False], said
    assert ["cache_hits" in text for text in said] == [False, True], said


def test_another_initializer_is_another_program_whatever_jax_leaves_out_of_the_name(tmp_path):
    """XLA cuts a program by a function of Python's; its address can be left out of the name."""
    code = f"""
jax.config.update("jax_compilation_cache_dir", {str(tmp_path)!r})
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
jax.config.update("jax_remove_custom_partitioning_ptr_from_cache_key", True)
for init in (pi.HeNormal(seed=1), pi.LecunNormal(seed=1), pi.HeNormal(seed=2)):
    program = jax.jit(lambda k: pij.initializer(init)(k, (16, 24)), out_shardings=rows)
    assert np.asarray(program(key)).tobytes() == init.named(0).named(7)((16, 24)).tobytes()
"""
    for _ in range(2):
        run_python(START + code, env=EIGHT)


@pytest.mark.parametrize("kept", ["made =", "program(key);"])
def test_a_process_ends_while_its_programs_run(kept):
    code = f"""
program = jax.jit(lambda key: kernel(key, (1 << 14, 1024)), out_shardings=rows)
program(key).block_until_ready()
{kept} program(key)
print("the end", flush=True)
"""
    assert run_python(START + code, env=EIGHT, timeout=60).stdout.endswith("the end\n")


def test_a_child_of_a_fork_while_a_program_runs():
    code = """
import os, sys, warnings
warnings.simplefilter("ignore")
program = jax.jit(lambda key: kernel(key, (1 << 14, 1024)), out_shardings=rows)
want = np.asarray(program(key))
for _ in range(3):
    made = program(key)
    if (child := os.fork()) == 0:
        same = pi.HeNormal(seed=1).named(0).named(7)(want.shape).tobytes() == want.tobytes()
        os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert np.asarray(made).tobytes() == want.tobytes()
"""
    run_python(START + code, env=EIGHT, timeout=120)


@pytest.mark.parametrize("program", ["small", "large", "late"])
@pytest.mark.skipif(os.name != "posix", reason="needs SIGINT")
def test_ctrl_c_ends_a_program_and_the_next_one_runs(program):
    """As a KeyboardInterrupt, or as an error of XLA's that names it where philinit wrote."""
    code = """
import sys, jax.numpy as jnp
one = jax.devices()[0]
matrix = jnp.ones((700, 700))
def late(key):
    x = matrix
    for _ in range(40):
        x = jnp.tanh(x @ x)
    return kernel(key, (64, 64)) + x[0, 0]
programs = {
    "small": lambda key: kernel(key, (64, 64)),
    "large": lambda key: kernel(key, (1 << 15, 1024)),
    "late": late,
}
call = jax.jit(programs[sys.argv[1]])
call(key).block_until_ready()
print("begun", flush=True)
try:
    while True:
        call(key).block_until_ready()
except BaseException as error:
    ended = "KeyboardInterrupt: Ctrl-C ended the program while philinit wrote weights"
    assert isinstance(error, KeyboardInterrupt) or ended in str(error), error
    print("interrupted", flush=True)
want = pi.HeNormal(seed=1).named(0).named(7)((64, 64))
assert np.asarray(jax.jit(programs["small"])(key)).tobytes() == want.tobytes()
print("well", flush=True)
"""
    command = [sys.executable, "-c", START + code, program]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(JAX), stdout=pipe, stderr=pipe, text=True
    ) as process:
        assert process.stdout.readline() == "begun\n"
        try:
            process.wait(0.3)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
        try:
            said, wrong = process.communicate(timeout=60)
        finally:
            process.kill()
    assert said == "interrupted\nwell\n", wrong
    assert process.returncode == 0, wrong
