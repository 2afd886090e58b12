# SPDX-License-Identifier: Apache-2.0
"""What is taken from TensorFlow's private parts: of use, and one sentence where it has moved."""

import importlib
import os
import sys
import tomllib
import types

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest

from tests.support.paths import ROOT

tf = pytest.importorskip("tensorflow")
from philinit.tensorflow import private  # noqa: E402

USES = [
    (private.scope_device, "eager.context", "context"),
    (private.no_choice, "eager.context", "context"),
    (private.this_process, "eager.context", "Context"),
    (lambda: private.is_sharded(None), "distribute.sharded_variable", "ShardedVariable"),
    (
        lambda: private.in_xla_context(tf.Graph()),
        "ops.control_flow_util",
        "GraphOrParentsInXlaContext",
    ),
    (lambda: private.leave_as_it_is("a_package"), "autograph.core", "config"),
    (lambda: private.put_up("name", print), "eager.context", "eager_mode"),
    (lambda: private.put_up("name", print), "ops.script_ops", "EagerFunc"),
    (lambda: private.put_up("name", print), "ops.script_ops", "_py_funcs"),
]


@pytest.fixture(autouse=True)
def _nothing_remembered():
    for forget in (private._taken, private._context):
        forget.cache_clear()
    yield
    for forget in (private._taken, private._context):
        forget.cache_clear()


@pytest.mark.parametrize(("use", "module", "name"), USES, ids=[u[2] for u in USES])
def test_what_a_version_has_moved_is_named(monkeypatch, use, module, name):
    use()
    private._taken.cache_clear()
    private._context.cache_clear()
    monkeypatch.delattr(importlib.import_module(f"tensorflow.python.{module}"), name)
    text = (
        rf"needs tensorflow.python.{module}.{name} of TensorFlow {private.OLDEST} to "
        rf"{private.NEWEST}, and TensorFlow {tf.__version__} has another or none"
    )
    with pytest.raises(ImportError, match=text):
        use()


def test_what_a_moved_class_lacks_is_named(monkeypatch):
    context = importlib.import_module("tensorflow.python.eager.context")
    monkeypatch.setattr(context, "Context", object)
    with pytest.raises(ImportError, match=r"device_name of tensorflow.python.eager.context.Conte"):
        private.scope_device()


def test_memory_is_where_tensorflow_says_or_nothing_is_written(monkeypatch):
    tensor = tf.raw_ops.Empty(shape=[2, 3], dtype=tf.float32)
    private.array_over(tensor, "CPU:0")[...] = [[1, 2, 3], [4, 5, 6]]
    assert tensor.numpy().tolist() == [[1, 2, 3], [4, 5, 6]]
    for moved in (lambda self: self._numpy().copy(), lambda self: self._numpy()[:1]):
        private.probe_memory.cache_clear()
        monkeypatch.setattr(type(tensor), "__array__", moved)
        with pytest.raises(
            ImportError, match=r"needs tf.Tensor.__array__ over the tensor's own me"
        ):
            private.array_over(tensor, "CPU:0")
    monkeypatch.undo()
    for tensor in (tf.raw_ops.Empty(shape=[], dtype=tf.float32), tf.zeros(2)):
        for device in ("CPU:0", "CPU:1"):  # the latter is none of this tensor's
            private.array_over(tensor, device)[...] = 7
            assert (tensor.numpy() == 7).all()


def test_scopes_and_processes():
    assert private.scope_device() == ""
    assert private.no_choice() is (len(tf.config.list_logical_devices()) == 1)
    with tf.device("CPU:0"):
        assert not private.no_choice()
        assert private.scope_device().endswith("CPU:0")
    assert tf.zeros(3).device.startswith(private.this_process() + "/device:")


def test_graphs_for_xla():
    seen = []

    def look():
        seen.append(private.in_xla_context(tf.compat.v1.get_default_graph()))

    tf.function(look, autograph=False)()
    tf.function(look, autograph=False, jit_compile=True)()
    assert seen[0] is False and seen[-1] is True


def test_autograph_leaves_a_package_as_it_is(monkeypatch):
    config = importlib.import_module("tensorflow.python.autograph.core.config")
    monkeypatch.setattr(config, "CONVERSION_RULES", config.CONVERSION_RULES)

    def branch(number):
        return 1 if number else 2

    branch.__module__ = "own.inside"
    monkeypatch.setitem(sys.modules, "own.inside", types.ModuleType("own.inside"))
    program = tf.function(lambda number: branch(number))
    assert program(tf.constant(True)).numpy() == 1  # rewritten: a tensor may be a condition
    private.leave_as_it_is("own")
    with pytest.raises(tf.errors.OperatorNotAllowedInGraphError, match="as a Python `bool`"):
        tf.function(lambda number: branch(number))(tf.constant(True))


def test_a_function_that_was_put_up_answers_by_its_name():
    kept = private.put_up("philinit.test", lambda text: tf.strings.length(text))
    (found,) = tf.raw_ops.EagerPyFunc(input=["four"], token="philinit.test", Tout=[tf.int32])
    assert found.numpy() == 4
    assert kept is not None


def test_the_versions_are_those_of_the_extras():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for extra in ("tensorflow", "keras"):
        assert f"tensorflow>={private.OLDEST}" in extras["optional-dependencies"][extra]
    major, minor = map(int, tf.__version__.split(".")[:2])
    oldest, newest = (tuple(map(int, v.split("."))) for v in (private.OLDEST, private.NEWEST))
    assert oldest <= (major, minor) <= newest
