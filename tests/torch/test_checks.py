# SPDX-License-Identifier: Apache-2.0
"""What philinit.torch.fill_ refuses: one sentence, and nothing is written."""

import re

import numpy as np
import pytest

import philinit as pi

torch = pytest.importorskip("torch")
import philinit.torch as pt  # noqa: E402  (torch may be missing)
from tests.support.processes import run_python  # noqa: E402


def freed():
    tensor = torch.zeros(4)
    tensor.untyped_storage().resize_(0)
    return tensor


NORMAL = pi.Normal(seed=1)
BAD = {
    "an ndarray": (
        lambda: (np.zeros(3, "f4"), NORMAL),
        TypeError,
        "`tensor` must be a torch.Tensor or a DTensor; got ndarray",
    ),
    "integers": (
        lambda: (torch.zeros(3, dtype=torch.int64), NORMAL),
        ValueError,
        "`tensor` must hold float32, float64, float16, bfloat16, float8_e4m3fn, float8_e5m2, "
        "float8_e4m3fnuz, float8_e5m2fnuz; got dtype=int64",
    ),
    "integers of 8 bits": (
        lambda: (torch.zeros(3, dtype=torch.int8), NORMAL),
        ValueError,
        "got dtype=int8",
    ),
    "a transposed tensor": (
        lambda: (torch.zeros(3, 4).T, NORMAL),
        ValueError,
        "`tensor` must be contiguous, or a slice of a contiguous tensor; got shape (4, 3) with "
        "strides (1, 4)",
    ),
    "channels last": (
        lambda: (torch.zeros(2, 3, 4, 5).to(memory_format=torch.channels_last), NORMAL),
        ValueError,
        "fill it before it is transposed, expanded or made channels_last",
    ),
    "one number many times": (
        lambda: (torch.zeros(1).expand(4), NORMAL),
        ValueError,
        "must be contiguous, or",
    ),
    "one row many times": (
        lambda: (torch.zeros(4).expand(3, 4), NORMAL),
        ValueError,
        "got shape (3, 4) with strides (0, 1)",
    ),
    "rows that overlap": (
        lambda: (torch.zeros(9).as_strided((3, 4), (2, 1)), NORMAL),
        ValueError,
        "got shape (3, 4) with strides (2, 1)",
    ),
    "a sparse tensor": (
        lambda: (torch.eye(3).to_sparse(), NORMAL),
        ValueError,
        "`tensor` must be dense; got layout=torch.sparse_coo",
    ),
    "the meta device": (
        lambda: (torch.zeros(3, device="meta"), NORMAL),
        ValueError,
        "`tensor` must have memory; got one on the meta device: philinit.torch.materialize",
    ),
    "freed memory": (
        lambda: (freed(), NORMAL),
        ValueError,
        "got a torch tensor whose storage was freed",
    ),
    "negated numbers": (
        lambda: (torch._neg_view(torch.zeros(3)), NORMAL),
        ValueError,
        "`tensor` must hold its own numbers; got a torch tensor that stands for their negatives",
    ),
    "a lazy parameter": (
        lambda: (torch.nn.LazyLinear(3).weight, NORMAL),
        ValueError,
        "`tensor` must have a shape; got a parameter of a lazy module",
    ),
    "a class": (
        lambda: (torch.zeros(3), pi.Normal),
        TypeError,
        "`init` must be a philinit initializer such as philinit.GlorotUniform(seed=42); got init",
    ),
    "a function": (lambda: (torch.zeros(3), torch.nn.init.ones_), TypeError, "`init` must be a"),
    "another shard": (
        lambda: (torch.zeros(3), NORMAL, {"shard": slice(0, 3)}),
        TypeError,
        "`shard` must be a philinit.Shard(global_shape, index); got shard=slice(0, 3, None)",
    ),
    "a shard of another shape": (
        lambda: (torch.zeros(3), NORMAL, {"shard": pi.Shard((9,), slice(0, 4))}),
        ValueError,
        "`tensor` must have the shape of `shard`; got shape (3,) for (4,)",
    ),
    "no threads": (
        lambda: (torch.zeros(3), NORMAL, {"threads": 0}),
        ValueError,
        "`threads` must be at least 1; got threads=0",
    ),
    "no progress": (
        lambda: (torch.zeros(3), NORMAL, {"progress": 1}),
        TypeError,
        "`progress` must be callable or None; got progress=1",
    ),
    "fans of a vector": (
        lambda: (torch.zeros(3), pt.layout(pi.HeNormal(seed=1))),
        ValueError,
        "`in_axis` must lie in [-1, 1) for a shape with 1 axis; got in_axis=1",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence_and_nothing_is_written(case):
    make, error, message = BAD[case]
    tensor, init, *rest = make()
    with pytest.raises(error, match=re.escape(message)):
        pt.fill_(tensor, init, **(rest[0] if rest else {}))
    if getattr(tensor, "is_meta", True) or case in ("freed memory", "a lazy parameter"):
        return
    assert not tensor.to_dense().float().any() or case == "a sparse tensor"


WEIGHT_NORM = torch.nn.utils.parametrizations.weight_norm
COMPUTED = {
    "weight norm": lambda: WEIGHT_NORM(torch.nn.Linear(3, 4)).weight,
    "spectral norm": lambda: (
        torch.nn.utils.parametrizations.spectral_norm(torch.nn.Linear(3, 4)).weight
    ),
    "orthogonal": lambda: torch.nn.utils.parametrizations.orthogonal(torch.nn.Linear(4, 4)).weight,
    "another dtype": lambda: torch.nn.Linear(3, 4).weight.double(),
    "a view of such": lambda: torch.nn.Linear(3, 4).weight.half().view(12)[2:],
    "a sum": lambda: torch.nn.Linear(3, 4).weight + 0,
}


@pytest.mark.parametrize("case", COMPUTED)
def test_what_autograd_has_computed_is_refused_since_nothing_trained_would_change(case):
    tensor = COMPUTED[case]()
    before = tensor.detach().clone()
    with pytest.raises(ValueError, match=r"must be a parameter or a view of one; got what auto"):
        pt.fill_(tensor, NORMAL)
    assert tensor.equal(before)


def test_what_is_computed_without_gradients_bears_no_mark_and_is_filled_in_vain():
    layer = WEIGHT_NORM(torch.nn.Linear(3, 4))
    before = layer.weight.detach().clone()
    with torch.no_grad():
        for tensor in (layer.weight, torch.empty(4, 3)):  # no check can tell one from the other
            assert type(tensor) is torch.Tensor and tensor.is_leaf and not tensor.requires_grad
            assert tensor.grad_fn is tensor._base is None and tensor._version == 0
        pt.fill_(layer.weight, pi.Ones())
    assert layer.weight.equal(before)


def test_views_of_a_parameter_are_the_parameter_in_training_and_without_gradients():
    layer = torch.nn.Linear(3, 4)
    pt.fill_(layer.weight[:2], pi.Ones())
    pt.fill_(layer.weight.view(12)[6:], pi.Constant(2.0))
    assert layer.weight.detach().flatten().tolist() == [1.0] * 6 + [2.0] * 6
    with torch.no_grad():
        pt.fill_(layer.weight, pi.Zeros())
    pt.fill_(layer.weight.detach()[0], pi.Ones())
    assert layer.weight.detach().flatten().tolist() == [1.0] * 3 + [0.0] * 9
    normed = WEIGHT_NORM(torch.nn.Linear(3, 4))
    assert pt.fill_(normed.parametrizations.weight.original1, pi.Ones()).eq(1).all()


def test_classes_with_elements_of_their_own_kind_are_refused():
    class Packed(torch.Tensor):
        @classmethod
        def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
            raise AssertionError(function)

    tensor = torch.Tensor._make_wrapper_subclass(Packed, (3,))
    with pytest.raises(TypeError, match=r"must be a plain torch\.Tensor.*; got Packed"):
        pt.fill_(tensor, NORMAL)


def test_without_torch_the_import_names_the_extra():
    code = "import sys; sys.modules['torch'] = None; import philinit.torch"
    done = run_python(code, check=False)
    assert 'philinit.torch needs torch: pip install "philinit[torch]"' in done.stderr
