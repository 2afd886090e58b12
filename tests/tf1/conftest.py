# SPDX-License-Identifier: Apache-2.0
"""Each test of philinit.tf1 begins without a seed of eager TensorFlow."""

import pytest


@pytest.fixture(autouse=True)
def _no_eager_seed():
    tf = pytest.importorskip("tensorflow")
    tf.random.set_seed(None)
