# SPDX-License-Identifier: Apache-2.0
"""What `philinit fill` is asked for in its tests: the file of `OPTIONS`, and a spec."""

import json

import pytest

from tests.support.weight_files import saved


@pytest.fixture(scope="session")
def wanted():
    """The hash of the file that `OPTIONS` describe, not interrupted: 4.7 MB."""
    from tests.support.fill_command import INIT, SHAPE, sha256  # needs click

    return sha256(saved(INIT(SHAPE)))


@pytest.fixture
def spec(tmp_path):
    from tests.support.fill_command import SPEC

    path = tmp_path / "spec.json"
    path.write_text(json.dumps(SPEC))
    return path
