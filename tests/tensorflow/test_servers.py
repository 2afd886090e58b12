# SPDX-License-Identifier: Apache-2.0
"""Parameter servers: what they are asked, and what their clusters of real processes hold."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest

import philinit as pi
from philinit import distributions
from philinit.initializers.seeded import KeyedDistribution

tf = pytest.importorskip("tensorflow")
from philinit.initializers.config import describe, described  # noqa: E402

RANDOM = [
    pi.GlorotNormal, pi.GlorotUniform, pi.HeNormal, pi.HeUniform, pi.LecunNormal, pi.LecunUniform,
    pi.Normal, pi.Orthogonal, pi.TruncatedNormal, pi.Uniform, pi.VarianceScaling,
]  # fmt: skip


@pytest.mark.parametrize(
    "init",
    [
        *(kind(seed=2**127, names=("layer", 3)) for kind in RANDOM),
        *(kind(seed=-1, sampler="tensorflow") for kind in (pi.HeNormal, pi.Uniform)),
        pi.TruncatedNormal(0.1, 0.3, lower=-float("inf"), upper=1 / 3, seed=5),
        pi.VarianceScaling(1 / 3, in_axis=(0, 1), seed=1),
        pi.GlorotUniform(),  # the seed that was drawn goes along
        pi.Constant(1e-7),
        pi.Identity(0.1),
        pi.Zeros(),
        pi.Ones(),
        KeyedDistribution(distributions.Uniform(-0.1, 0.3), pi.Key((1, 2), 3 << 100)),
        KeyedDistribution(distributions.Normal(0.5, 1 / 3), pi.Key.from_seed(5), "tensorflow"),
        KeyedDistribution(
            distributions.TruncatedNormal(0.0, 1.0, -1.0, float("inf")), pi.Key.from_seed(6)
        ),
    ],
    ids=repr,
)
def test_a_request_describes_an_initializer_exactly(init):
    again = described(json.loads(json.dumps(describe(init))))
    assert again == init and again.key == init.key


def test_a_request_holds_no_code():
    class Own(pi.Constant):
        pass

    with pytest.raises(TypeError, match="must be one of philinit's own initializers, which can be"):
        describe(Own(1.0))
    for name in ("fill", "Key", "distributions", "Initializer.__call__", None, 3):
        with pytest.raises(ValueError, match="`init` must name one of philinit's initializers"):
            described({"init": name})


ENGINES = Path(__file__).parents[1] / "support" / "engines"


SECONDS = 150  # a program takes 15 to 25 on two cores


def passed(name):
    """The sections that a program of tests/support/engines has printed, when it has ended well."""
    # Into a file: the processes that it forks end when it does, but may keep a pipe until then.
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            [sys.executable, ENGINES / name],
            env=os.environ | {"CUDA_VISIBLE_DEVICES": "", "KERAS_BACKEND": "tensorflow"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:
            process.kill()
            process.wait()
        output.seek(0)
        told = output.read()
    assert process.returncode == 0, f"exit code {process.returncode}\n{told}"
    return told.split()


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


@pytest.fixture(scope="module")
def cluster():
    pytest.importorskip("keras")
    return passed("tensorflow_cluster.py")


@needs_fork
@pytest.mark.parametrize(
    "section",
    [
        "variables_in_1_2_3_4_and_8_parts",
        "tensorflows_own_variables",
        "any_box_on_any_server",
        "refilled",
        "keras_layers",
        "keras_layers_in_parts",
        "two_workers_train",
        "memory_of_a_process_is_its_parts",
        "what_is_refused",
        "where_nobody_serves_keras_is_left_alone",
    ],
)
def test_g1_parameter_servers_fill_their_own_parts_of_the_whole(cluster, section):
    assert section in cluster


@pytest.fixture(scope="module")
def dtensor():
    return passed("tensorflow_dtensor.py")


@needs_fork
@pytest.mark.parametrize(
    "section",
    [
        "each_axis_over_1_2_3_4_and_8_devices",
        "meshes_of_two_dimensions",
        "a_gradient_step",
        "one_buffer_a_device",
        "what_is_refused",
        "two_clients",
    ],
)
def test_g1_every_device_of_a_dtensor_mesh_has_its_box_of_the_whole(dtensor, section):
    assert section in dtensor
