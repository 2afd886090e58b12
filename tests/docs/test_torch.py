# SPDX-License-Identifier: Apache-2.0
"""docs/torch.md: its table has every function of torch.nn.init, and the right counterparts."""

import math
import re

import numpy as np
import pytest

import philinit as pi

torch = pytest.importorskip("torch")
import philinit.torch as pt  # noqa: E402  (torch may be missing)
from philinit.torch import init  # noqa: E402
from tests.support.paths import DOCS  # noqa: E402

PAGE = (DOCS / "torch.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(\w+\(.*?\))` \| `(.*?)`(.*) \|$", PAGE, re.MULTILINE)
SHAPE = (40, 30, 3, 3)
CONSTANT = ("constant_", "ones_", "zeros_", "eye_", "dirac_", "calculate_gain")


def evaluated(module, call, **more):
    """What a call of the table writes into a weight, by the functions of a module."""
    names = {name: getattr(module, name) for name in init.__all__}
    w = torch.full(SHAPE, math.nan)
    keyword = "".join(f", {name}={value!r}" for name, value in more.items())
    result = eval(f"{call[:-1]}{keyword})", {"w": w, "math": math, **names})
    return w if isinstance(result, torch.Tensor) else result


def test_every_function_is_in_the_table():
    assert {call.partition("(")[0] for call, _, _ in ROWS} == {
        name for name in init.__all__ if name.endswith("_") or name == "calculate_gain"
    }


@pytest.mark.parametrize(("call", "counterpart", "rest"), ROWS)
def test_a_counterpart_has_the_numbers_of_the_seed_and_torchs_spread(call, counterpart, rest):
    name = call.partition("(")[0]
    drawn = name not in CONSTANT
    found = evaluated(init, call, **({"seed": 1} if drawn else {}))
    ours = eval(counterpart, {"pi": pi, "pt": pt})
    if not isinstance(found, torch.Tensor):
        assert math.isclose(found, ours)
        return
    matrix = "view" in rest
    shape = (SHAPE[0], math.prod(SHAPE[1:])) if matrix else SHAPE
    np.testing.assert_allclose(found.numpy(), ours(shape).reshape(SHAPE), rtol=1e-6, atol=1e-9)
    torch.manual_seed(1)
    theirs = evaluated(torch.nn.init, call)
    if drawn:  # 10,800 numbers: 4.5 standard errors of a normal's spread are 3 %
        assert abs(found.std() / theirs.std() - 1) < 0.05
    else:
        assert torch.equal(found, theirs)
