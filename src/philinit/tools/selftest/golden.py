# SPDX-License-Identifier: Apache-2.0
"""The golden hashes that `philinit selftest` compares with, from golden.json.

That file is the copy of tests/data/golden.json that is installed; a test compares the two.
"""

import importlib.resources
import json
from typing import Any

_file = importlib.resources.files("philinit.tools.selftest").joinpath("golden.json")
_golden: dict[str, Any] = json.loads(_file.read_text(encoding="utf-8"))

Hashes = dict[str, tuple[str, ...]]  # by case: one hash for each offset

SEED: int = _golden["seed"]
COUNT: int = _golden["count"]
OFFSETS: tuple[int, ...] = tuple(_golden["offsets"])
SHA256: Hashes = {case: tuple(hashes) for case, hashes in _golden["sha256"].items()}
# TensorFlow's normals, by which logf, sinf and cosf they are made with.
SHA256_BY_LIBM: dict[str, Hashes] = {
    kind: {case: tuple(hashes) for case, hashes in cases.items()}
    for kind, cases in _golden["sha256 by libm"].items()
}
