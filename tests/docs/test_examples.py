# SPDX-License-Identifier: Apache-2.0
"""Each script of examples/ trains: the loss that it prints goes down to less than half."""

import importlib.util
import re
import sys

import pytest

from tests.support import processes
from tests.support.paths import DOCS, EXAMPLES, ROOT

# A script, and the libraries that it needs.
NEEDS = {
    "train_keras.py": ("keras", "tensorflow"),
    "train_tf2_loop.py": ("tensorflow",),
    "train_tf1.py": ("tensorflow",),
    "train_torch.py": ("torch",),
    "train_jax.py": ("jax", "jaxlib"),
}
# One thread for torch, whose threads wait for each other at work: the tests beside want CPUs, too.
SETTINGS = {"TF_CPP_MIN_LOG_LEVEL": 3, "KERAS_BACKEND": "tensorflow", "OMP_NUM_THREADS": 1}


@pytest.mark.parametrize("name", NEEDS)
def test_a_script_trains(name, tmp_path):
    for library in NEEDS[name]:
        if importlib.util.find_spec(library) is None:  # not imported here: it takes seconds
            pytest.skip(f"needs {library}")
    done = processes.run([sys.executable, EXAMPLES / name], cwd=tmp_path, env=SETTINGS)
    losses = [float(loss) for loss in re.findall(r"\bloss:? +([\d.e+-]+)", done.stdout)]
    assert len(losses) > 2, done.stdout
    assert losses[-1] < losses[0] / 2


def test_every_script_is_run_and_named_in_the_index():
    assert sorted(NEEDS) == sorted(path.name for path in EXAMPLES.glob("*.py"))
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    for name in NEEDS:
        assert f"{name}`" in index
    assert "(examples/" in (ROOT / "README.md").read_text(encoding="utf-8")
