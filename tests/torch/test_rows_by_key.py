# SPDX-License-Identifier: Apache-2.0
"""Rows by key as torch tensors, and an EmbeddingBag that grows in place."""

import numpy as np
import pytest

import philinit as pi

torch = pytest.importorskip("torch")
import philinit.torch as pt  # noqa: E402  (torch may be missing)

INIT = pi.Normal(stddev=0.02, seed=42)
KEYS = [[3, -1], [2**62, 3]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_rows_are_those_of_the_initializer(dtype):
    found = pt.rows_by_key(INIT, 5, torch.tensor(KEYS), dtype)
    wanted = INIT.rows_by_key(5, KEYS, str(dtype).removeprefix("torch."))
    assert (found.shape, found.dtype) == ((2, 2, 5), dtype)
    assert found.view(torch.uint8).numpy().tobytes() == wanted.tobytes()
    assert torch.equal(found, pt.rows_by_key(INIT, 5, np.array(KEYS), dtype, threads=1))


def test_fans_are_those_of_a_table_of_torch():
    init = pi.HeUniform(seed=1)
    with pytest.raises(ValueError, match=r"must have the fans of torch's weights"):
        pt.rows_by_key(init, 5, [1], global_shape=(1000, 5))
    found = pt.rows_by_key(pt.layout(init), 5, [1], global_shape=(1000, 5))
    limit = pt.layout(init).distribution_for((1000, 5)).high
    assert torch.equal(found, pt.rows_by_key(pi.Uniform(-limit, limit, seed=1), 5, [1]))


def test_what_is_refused(monkeypatch):
    with pytest.raises(TypeError, match=r"`keys` must be a plain torch.Tensor .*'meta'"):
        pt.rows_by_key(INIT, 5, torch.ones(2, dtype=torch.int64, device="meta"))
    with pytest.raises(TypeError, match="`keys` must be integers; got keys of dtype float32"):
        pt.rows_by_key(INIT, 5, torch.ones(2))
    with pytest.raises(ValueError, match=r"`dtype` must be one of torch.float32, .* got dtype"):
        pt.rows_by_key(INIT, 5, [1], torch.int64)
    with pytest.raises(TypeError, match="`init` must be a philinit initializer"):
        pt.rows_by_key(torch.nn.init.normal_, 5, [1])
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    with pytest.raises(NotImplementedError, match=r"`rows_by_key` needs torch 2\.12, and "):
        pt.rows_by_key(INIT, 5, torch.tensor([1]), progress=print)


class Grown:
    """An EmbeddingBag whose rows belong to keys, in memory that it grows into."""

    def __init__(self, width: int, room: int) -> None:
        self.bag = torch.nn.EmbeddingBag(room, width, mode="sum")
        self.places: dict[int, int] = {}
        self.free = list(range(room))[::-1]

    def add(self, keys: list[int]) -> None:
        new = [key for key in dict.fromkeys(keys) if key not in self.places]
        places = [self.free.pop() for _ in new]
        self.places.update(zip(new, places, strict=True))
        with torch.no_grad():
            self.bag.weight[places] = pt.rows_by_key(INIT, self.bag.embedding_dim, new)

    def evict(self, key: int) -> None:
        self.free.append(self.places.pop(key))

    def __call__(self, keys: list[int]) -> torch.Tensor:
        self.add(keys)
        return self.bag(torch.tensor([[self.places[key] for key in keys]]))[0]


def test_an_embedding_bag_that_is_grown_in_place():
    """In any order of features, with rows evicted and added again: the row of a key is its own."""
    features = np.random.default_rng(3).integers(-(2**63), 2**63, 40).tolist()
    one, other = Grown(16, 64), Grown(16, 64)
    address = one.bag.weight.data_ptr()
    for start in range(0, 40, 4):
        one(features[start : start + 4])
    for key in features[::3]:
        one.evict(key)
    other(features[::-1])
    for keys in (features, features[::-1], features[5:9]):
        rows = INIT.rows_by_key(16, keys)
        for table in (one, other):
            table.add(keys)
            found = table.bag.weight[[table.places[key] for key in keys]].detach().numpy()
            assert found.tobytes() == rows.tobytes()
        assert torch.equal(one(keys), other(keys))
    assert one.bag.weight.data_ptr() == address
    # What was trained stays until the row is evicted; then it begins anew.
    key = features[0]
    one([key]).sum().backward()
    torch.optim.SGD(one.bag.parameters(), lr=0.5).step()
    assert torch.equal(one([key]), torch.from_numpy(INIT.rows_by_key(16, key)) - 0.5)
    one.evict(key)
    assert torch.equal(one([key]), torch.from_numpy(INIT.rows_by_key(16, key)))
