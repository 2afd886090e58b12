# SPDX-License-Identifier: Apache-2.0
"""philinit.torch.fill_: tensors filled in their own memory, seen by autograd."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import philinit as pi

torch = pytest.importorskip("torch")
import philinit.torch as pt  # noqa: E402  (torch may be missing)
from tests.support.torch_tensors import DTYPES, same, zeros  # noqa: E402

by_dtype = pytest.mark.parametrize("dtype", DTYPES)


@by_dtype
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (5,), (33, 17), (2, 3, 4, 5)])
def test_a_tensor_gets_the_weights_of_its_shape_in_its_own_memory(dtype, shape):
    init, tensor = pi.TruncatedNormal(seed=1), zeros(shape, dtype)
    where = tensor.data_ptr()
    assert pt.fill_(tensor, init) is tensor
    assert tensor.data_ptr() == where
    assert same(tensor, init(shape, dtype))


def test_rows_of_a_larger_tensor_are_filled_where_they_are():
    whole = torch.zeros(6, 5)
    pt.fill_(whole[2:4], pi.Uniform(seed=1))
    assert same(whole[2:4], pi.Uniform(seed=1)((2, 5)))
    assert not whole[:2].any() and not whole[4:].any()


def test_slices_of_any_axis_are_filled_where_they_are():
    whole = torch.zeros(4, 6, 5, 2)
    part = whole[1:3, 2:, 0, :]
    pt.fill_(part, pi.Uniform(seed=1))
    assert same(part, pi.Uniform(seed=1)((2, 4, 2)))
    assert int(whole.count_nonzero()) == 2 * 4 * 2
    column = torch.zeros(7, 3)[::2, 1:2]
    assert same(pt.fill_(column, pi.Uniform(seed=1)), pi.Uniform(seed=1)((4, 1)))


@settings(max_examples=200, deadline=None)
@given(st.data(), st.sampled_from(DTYPES), st.lists(st.integers(1, 6), max_size=3))
def test_any_slice_is_filled_and_what_is_between_stays(data, dtype, outer):
    shape = (*outer, data.draw(st.integers(1, 150)))
    index = []
    for length in shape:
        start, stop = sorted(data.draw(st.tuples(*[st.integers(0, length)] * 2)))
        step = data.draw(st.sampled_from([1, 1, 2]))
        index.append(data.draw(st.sampled_from([slice(start, stop, step), min(start, length - 1)])))
    whole = torch.full(shape, 7.0, dtype=getattr(torch, dtype))
    part = whole[tuple(index)]
    for init in (pi.TruncatedNormal(2.0, 0.5, seed=1), pi.Ones()):
        pt.fill_(part, init)
        found = part.clone(memory_format=torch.contiguous_format)
        assert same(found, init(tuple(part.shape), dtype))
    part.fill_(7.0)
    assert bool((whole == 7).all())


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(8, 8).T,
        torch.zeros(8).expand(3, 8),
        torch.zeros(8, 8).as_strided((3, 8), (7, 1)),
        torch.zeros(8, 8).as_strided((3, 3, 4), (8, 2, 1)),
    ],
)
def test_rows_that_overlap_or_are_turned_are_refused(tensor):
    for init in (pi.Normal(seed=1), pi.Ones()):
        with pytest.raises(ValueError, match="`tensor` must be contiguous, or a slice of"):
            pt.fill_(tensor, init)
    assert not tensor.any()


def test_a_slice_can_be_a_shard():
    init, whole = pi.Uniform(seed=1), torch.zeros(4, 6)
    seen = []
    pt.fill_(
        whole[1:, 2:5],
        init,
        shard=pi.Shard((9, 8, 7), (slice(6, 9), 5, slice(0, 3))),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert same(whole[1:, 2:5], init((9, 8, 7))[6:9, 5, 0:3])
    assert int(whole.count_nonzero()) == 9
    assert seen[-1] == (9, 9) and seen == sorted(seen)


def test_a_plain_tensor_can_be_a_shard_whose_fans_are_those_of_the_whole():
    init = pt.layout(pi.HeNormal(seed=3))
    shard = pi.Shard((40, 30), (slice(4, 9), slice(10, 30)))
    tensor = zeros(shard.shape)
    assert pt.fill_(tensor, init, shard=shard) is tensor
    assert same(tensor, init((40, 30))[shard.index])


def test_a_leaf_that_requires_grad_is_changed_in_place_and_in_no_graph():
    layer = torch.nn.Linear(4, 3)
    weight, version = layer.weight, layer.weight._version
    assert pt.fill_(weight, pi.Normal(seed=1)) is layer.weight
    assert weight.is_leaf and weight.requires_grad and weight.grad_fn is None
    assert weight._version > version
    layer(torch.ones(2, 4)).sum().backward()
    assert weight.grad is not None


def test_backward_notices_that_a_saved_tensor_was_filled():
    x = torch.ones(3, requires_grad=True)
    factor = torch.ones(3)
    product = (x * factor).sum()
    pt.fill_(factor, pi.Normal(seed=1))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.backward()


def test_an_exception_of_progress_leaves_a_changed_tensor_that_says_so():
    def stop(done, total):
        raise KeyboardInterrupt

    tensor = torch.zeros(1000)
    with pytest.raises(KeyboardInterrupt):
        pt.fill_(tensor, pi.Normal(seed=1), progress=stop)
    assert tensor._version > 0


def test_tensors_of_inference_mode_are_filled():
    with torch.inference_mode():
        tensor = torch.zeros(3)
        pt.fill_(tensor, pi.Normal(seed=1))
    assert same(tensor, pi.Normal(seed=1)((3,)))


def test_threads_and_progress_are_passed_on():
    seen, init = [], pi.Normal(seed=1)
    tensor = torch.zeros(100, 1000)
    pt.fill_(tensor, init, threads=1, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (100_000, 100_000) and seen == sorted(seen)
    assert same(tensor, init((100, 1000)))


def test_a_filled_storage_can_be_resized_as_fsdp_does_it():
    tensor = torch.zeros(8)
    pt.fill_(tensor, pi.Normal(seed=1))
    tensor.untyped_storage().resize_(0)
    assert tensor.untyped_storage().nbytes() == 0
