# SPDX-License-Identifier: Apache-2.0
"""torch's tensors and modules, filled in their own memory: plain, sharded, or on the meta device.

- `fill_` writes a tensor, or the local shard of a DTensor, in place;
- `rows` makes rows of a table by number, `rows_by_key` rows of a table without a fixed size;
- `materialize` gives memory and weights to a module on the meta device, shard by shard;
- `initialize` fills a whole module, as a map of names says (see `philinit.models`);
  `dry_run` shows what it would do;
- `parameters_on_meta` builds a module without memory for its parameters, but with its buffers;
- `layout` tells an initializer that torch's weights have the axes (out, in, ...);
- `accelerate`, `install` and `uninstall` let philinit draw the weights in existing torch code;
- `init` is a drop-in replacement for torch.nn.init.

Examples
--------
>>> import torch, philinit as pi, philinit.torch as pt
>>> conv = torch.nn.Conv2d(16, 32, 3)
>>> pt.fill_(conv.weight, pt.layout(pi.HeNormal(seed=42))) is conv.weight
True
"""

from __future__ import annotations

from philinit.checks import missing_extra

try:
    import torch  # noqa: F401  (first: where torch is missing it names the extra)
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise  # torch is here, but lacks something: its own message is the right one
    raise missing_extra("philinit.torch", "torch", "torch") from error

from philinit.torch import init
from philinit.torch.initializers import layout
from philinit.torch.memory import fill_
from philinit.torch.meta import parameters_on_meta
from philinit.torch.models import dry_run, initialize
from philinit.torch.modules import materialize
from philinit.torch.patch import accelerate, install, uninstall
from philinit.torch.tables import rows, rows_by_key

__all__ = [
    "accelerate",
    "dry_run",
    "fill_",
    "init",
    "initialize",
    "install",
    "layout",
    "materialize",
    "parameters_on_meta",
    "rows",
    "rows_by_key",
    "uninstall",
]
