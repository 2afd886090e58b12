# SPDX-License-Identifier: Apache-2.0
"""philinit.tensorflow.dtensor_variable: every device of a mesh has its part of the whole."""

import pytest

pytest.importorskip("tensorflow")
from tests.support.tensorflow_programs import check, needs_fork, outcomes


@pytest.fixture(scope="module")
def dtensor():
    return outcomes("tensorflow_dtensor.py")


@pytest.mark.slow
@needs_fork
@pytest.mark.parametrize(
    ("section", "compared", "refused"),
    [
        ("each_axis_over_1_2_3_4_and_8_devices", 216, 0),
        ("meshes_of_two_dimensions", 424, 0),
        ("a_gradient_step", 32, 0),
        ("one_buffer_a_device", 0, 0),
        ("what_is_refused", 0, 8),
        ("two_clients", 0, 0),
    ],
)
def test_g1_every_device_of_a_mesh_has_its_part_of_the_whole(dtensor, section, compared, refused):
    check(dtensor[section], compared, refused)
