# SPDX-License-Identifier: Apache-2.0
"""Parameter servers: what they are asked, and what their clusters of real processes hold."""

import json
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest

import philinit as pi
from philinit import distributions
from philinit.initializers.seeded import KeyedDistribution

tf = pytest.importorskip("tensorflow")
from philinit.initializers.config import describe, described  # noqa: E402
from tests.support.tensorflow_memory import needs_proc  # noqa: E402
from tests.support.tensorflow_programs import check, needs_fork, outcomes  # noqa: E402

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
    ids=lambda init: type(init).__name__,
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


# --- real processes ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster():
    pytest.importorskip("keras")
    return outcomes("tensorflow_cluster.py")


@pytest.mark.slow
@needs_fork
@pytest.mark.parametrize(
    ("section", "compared", "refused"),
    [
        ("variables_in_1_2_3_4_and_8_parts", 66, 0),
        ("tensorflows_own_variables", 24, 0),
        ("any_part_on_any_server", 60, 0),
        ("refilled", 4, 0),
        ("keras_layers", 8, 0),
        ("keras_layers_in_parts", 5, 1),
        ("two_workers_train", 0, 0),
        ("memory_of_a_process_is_its_parts", 0, 0),
        ("what_is_refused", 0, 12),
        ("where_nobody_serves_keras_is_left_alone", 1, 1),
    ],
)
def test_g1_parameter_servers_fill_their_own_parts_of_the_whole(
    cluster, section, compared, refused
):
    check(cluster[section], compared, refused)


@pytest.mark.slow
@needs_fork
@needs_proc
def test_g4_a_server_grows_by_its_part_and_a_step_by_nothing(cluster):
    """In MiB, of 128: two servers, and the coordinator, which has none of it."""
    measured = cluster["memory_of_a_process_is_its_parts"]
    assert measured["made_mib"] == pytest.approx([64, 64, 0], abs=8)
    assert max(measured["step_mib"]) <= 8
