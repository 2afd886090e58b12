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
    from philinit.keras import memory
    from tests.support.keras_pairs import address, tf

    addresses = []
    original = memory._tensorflow

    def recording(*args):
        tensor = original(*args)
        if tf.executing_eagerly():  # else it comes here again when the graph runs
            addresses.append(address(tensor))
        return tensor

    monkeypatch.setattr(memory, "_tensorflow", recording)
    return addresses
