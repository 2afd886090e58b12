# SPDX-License-Identifier: Apache-2.0
"""What philinit.jax takes from JAX's private parts is there, or one sentence says so."""

import importlib
import tomllib
from unittest import mock

from tests.support.engines.jax_cases import refused  # first: it sets the number of devices

# isort: split
import jax
import numpy as np

from philinit.jax import private
from tests.support.paths import ROOT

LOST = f"of jax {private.OLDEST} to {private.NEWEST}; jax {jax.__version__} has another or none"


def tracers():
    seen = []
    jax.jit(lambda x: seen.append(jax.device_put(np.zeros(2))))(1.0)
    assert isinstance(seen[0], private.Tracer)
    assert not isinstance(jax.device_put(np.zeros(2)), private.Tracer)
    with mock.patch.object(jax.core, "Tracer", None):
        refused(lambda: importlib.reload(private), ImportError, f"jax.core.Tracer {LOST}")
    importlib.reload(private)


def places():
    array = np.broadcast_to(np.float32(1), (2, 3))
    for device in (None, jax.local_devices()[0], jax.local_devices()[-1]):
        with jax.default_device(device):
            found, wanted = private.placed(array, None), jax.device_put(array)
        assert (found.aval, found.sharding) == (wanted.aval, wanted.sharding)
        assert found.committed is wanted.committed is False
        assert np.array_equal(found, array)
    for module, name in (
        ("core", "trace_state_clean"),
        ("interpreters.pxla", "batched_device_put"),
    ):
        with mock.patch.object(importlib.import_module(f"jax._src.{module}"), name, None):
            refused(
                lambda: importlib.reload(private), ImportError, f"jax._src.{module}.{name} {LOST}"
            )
    importlib.reload(private)
    with mock.patch.object(private, "_put", return_value=jax.device_put(np.zeros(3))):
        refused(lambda: private.placed(array, None), ImportError, f"batched_device_put {LOST}")
    private.placed(array, None)


def memory():
    array = jax.device_put(np.broadcast_to(np.float32(1), (2, 3))).block_until_ready()
    private.writable_view(array)[1, 2] = 2
    assert np.asarray(array).tolist() == [[1, 1, 1], [1, 1, 2]]
    for moved in (lambda array: 64, None):
        private.probe_memory.cache_clear()
        with mock.patch.object(type(array), "unsafe_buffer_pointer", moved or (lambda a: None)):
            lost = f"jax.Array.unsafe_buffer_pointer {LOST}"
            refused(lambda: private.writable_view(array), ImportError, lost)
    private.probe_memory()


def versions():
    text = (ROOT / "pyproject.toml").read_text()
    extras = tomllib.loads(text)["project"]["optional-dependencies"]
    assert extras["jax"] == [f"jax>={private.OLDEST}"]
    guide = (ROOT / "docs" / "jax.md").read_text(encoding="utf-8")
    assert f"needs JAX {private.OLDEST} or newer:" in guide
