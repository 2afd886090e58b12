# SPDX-License-Identifier: Apache-2.0
"""What philinit did, seen from inside: the requests that it answered, the memory that it filled."""

import pytest


@pytest.fixture
def answered(monkeypatch):
    """The requests that philinit itself has answered, rather than left to Keras."""
    from philinit.keras import initializers, memory, patch

    requests = []

    def recording(request, *rest):
        requests.append(request)
        return memory.weights(request, *rest)

    for module in (initializers, patch):
        monkeypatch.setattr(module, "weights", recording)
    return requests


@pytest.fixture
def filled(monkeypatch):
    """Addresses of the tensors that philinit has filled."""
    from philinit.keras import memory as keras_memory
    from philinit.tensorflow import memory
    from tests.support.keras_pairs import address

    addresses = []
    original = memory.filled

    def recording(*args):
        tensor = original(*args)
        addresses.append(address(tensor))
        return tensor

    for module in (memory, keras_memory):  # when a graph runs, and in eager code
        monkeypatch.setattr(module, "filled", recording)
    return addresses
