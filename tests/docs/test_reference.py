# SPDX-License-Identifier: Apache-2.0
"""Every public name has an example in its docstring, and the example runs.

The examples may use what the pages of the reference say at their top: `pi`, `np`, and so on.
"""

import doctest
import importlib
import inspect
import math

import numpy as np
import pytest

import philinit as pi
from tests.docs.test_site import MODULES, public

NEEDS = {**MODULES, "philinit.torch.init": "torch"}
# torch's own functions and its old names, which philinit passes on.
PASSED_ON = {"calculate_gain", "constant_", "ones_", "zeros_", "eye_", "dirac_"}
PASSED_ON |= {"uniform", "normal", "constant", "eye", "dirac", "orthogonal", "sparse"}
PASSED_ON |= {f"{name}_{kind}" for name in ("xavier", "kaiming") for kind in ("uniform", "normal")}
OTHERS = {
    "philinit.jax.nn.initializers": {"Initializer", "zeros", "ones", "constant"},  # JAX's own
    "philinit.tf1": {"Zeros", "Ones", "zeros_initializer", "ones_initializer"},  # TensorFlow's
    "philinit.torch.init": PASSED_ON,
}


def names_of(module):
    """What the examples of a module may use: the module's own names, and the usual short ones."""
    found = {**vars(module), "pi": pi, "np": np, "math": math}
    if module.__name__ in ("philinit.tensorflow", "philinit.tf1"):
        import tensorflow as tf

        found |= {"tf": tf, "v1": tf.compat.v1, "pit": pi.tensorflow, "tf1": module}
    elif module.__name__ == "philinit.keras":
        import keras

        found |= {"keras": keras, "pk": module}
    elif module.__name__.startswith("philinit.torch"):
        import torch

        found |= {"torch": torch, "pt": pi.torch, "init": importlib.import_module(TORCH_INIT)}
    elif module.__name__.startswith("philinit.jax"):
        import jax

        found |= {"jax": jax, "jnp": jax.numpy, "pij": pi.jax, "initializers": module}
    return found


TORCH_INIT = "philinit.torch.init"


def examples_of(module):
    """Name and docstring of all that a user may call; of two names for one thing, the first."""
    seen = {}
    for name in sorted(set(public(module)) - OTHERS.get(module.__name__, set())):
        value = getattr(module, name)
        if inspect.isclass(value) or (inspect.isroutine(value) and value.__doc__):
            seen.setdefault(id(value), (name, value.__doc__ or ""))
    return dict(seen.values())


@pytest.mark.parametrize("name", NEEDS)
def test_every_public_name_has_an_example_that_runs(name):
    if NEEDS[name]:
        pytest.importorskip(NEEDS[name])
    module = importlib.import_module(name)
    docstrings = examples_of(module)
    assert [n for n, text in docstrings.items() if ">>>" not in text] == []
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    failures = []
    for one, text in docstrings.items():
        test = parser.get_doctest(text, names_of(module), f"{name}.{one}", None, 0)
        runner.run(test, out=failures.append)
    assert not failures, "".join(failures)
