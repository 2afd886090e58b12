# SPDX-License-Identifier: Apache-2.0
"""All that is taken from torch beyond what it documents; a probe for each, and what is missing."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import init
from torch.utils import _device

OLDEST, NEWEST = "2.9.1", "2.13.0"  # the versions of torch supported; the newest one tested
_INIT = vars(init).copy()  # transformers puts others in their places while it loads a model


def needed(owner: Any, name: str) -> Any:
    """The attribute `name` of `owner`, or the one sentence that says what torch has moved."""
    found = getattr(owner, name, needed)
    if found is needed:
        kind = owner if isinstance(owner, type) else type(owner)
        where = f"{kind.__module__}.{kind.__qualname__}"
        raise _moved(f"{owner.__name__ if kind is types.ModuleType else where}.{name}")
    return found


def _moved(name: str) -> ImportError:
    return ImportError(
        f"philinit.torch needs {name} of torch {OLDEST} to {NEWEST}; torch {torch.__version__} has "
        "another or none: please report it"
    )


# Missing: whether a tensor's elements are what its memory holds. A class that takes operations into
# its own hands, such as a packed one, does so by another method of this name.
DISPATCH = needed(torch.Tensor, "__torch_dispatch__")


def exchange(module: Any, make: Callable[[Any], Any]) -> None:
    """Replace each parameter and buffer of a module by ``make(tensor)``.

    Missing: such a method, which keeps FSDP2 and recurrent layers informed. ``to_empty`` does, but
    allocates memory for all tensors at once.
    """
    needed(module, "_apply")(make)


def parameter_of(kind: type, tensor: Any) -> Any:
    """`tensor` as a parameter of a class that others have made of torch's.

    Missing: another way than that class's own constructor, which may take anything.
    """
    return needed(torch.Tensor, "_make_subclass")(kind, tensor)


def base_of(tensor: Any) -> Any:
    """The tensor that `tensor` is a view of, or itself; what wrote to the one wrote to the other.

    Missing: a public name for it.
    """
    base = needed(tensor, "_base")
    return tensor if base is None else base


def split_factor(placement: Any) -> int:
    """How many pieces of a tensor axis there were before a placement, a Shard, has cut it again.

    Missing: a public class for it. FSDP2 makes ``_StridedShard`` where tensor parallelism came
    first; of a plain Shard this is 1.
    """
    plain = type(placement).__name__ == "Shard"
    return 1 if plain else int(needed(placement, "split_factor"))


def shard_order(tensor: Any) -> dict[int, tuple[int, ...]]:
    """For a tensor axis of a DTensor, its mesh axes in the order in which they cut it.

    Missing: a property of DTensor. torch 2.9 knows no order but that of the placements.
    """
    order = getattr(needed(tensor, "_spec"), "shard_order", ())
    return {entry.tensor_dim: tuple(entry.mesh_dims) for entry in order or ()}


def init_function(name: str) -> types.FunctionType:
    """A function of torch.nn.init, whose code `accelerate` exchanges for a call of ours.

    Missing: a way to have torch ask somebody else for initial weights. That a function is plain
    Python, made by no decorator, is not documented. Its code rather than its name in the module is
    exchanged, since others keep the function itself: torch's own MultiheadAttention imports it by
    value, transformers has a table of them.
    """
    found = _INIT.get(name) or needed(init, name)
    if not (isinstance(found, types.FunctionType) and found.__module__ == init.__name__):
        raise _moved(f"{init.__name__}.{name}, a function of its own,")
    if found.__closure__:
        raise _moved(f"{init.__name__}.{name}, a function without a closure,")
    return found


def is_watched() -> bool:
    """Whether somebody wants to see each operation of torch: fake tensors, a tracer, vmap, a log.

    Missing: a public name for what modes and transforms are active. ``with torch.device(...)`` is
    one of them, and has no interest in tensors that exist.
    """
    if torch.jit.is_tracing() or needed(torch._C, "_len_torch_dispatch_stack")():
        return True
    if needed(needed(torch._C, "_functorch"), "maybe_current_level")() is not None:
        return True
    modes = needed(torch.overrides, "_get_current_function_mode_stack")()
    return modes != [] and not all(isinstance(m, needed(_device, "DeviceContext")) for m in modes)
