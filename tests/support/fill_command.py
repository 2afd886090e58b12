# SPDX-License-Identifier: Apache-2.0
"""What the tests of `philinit fill` share: one file by options, several by a spec."""

import hashlib

from click.testing import CliRunner

import philinit as pi
from philinit.cli.group import cli

INIT = pi.HeNormal(seed=7, activation="gelu")
SHAPE = (3, 3, 256, 512)
OPTIONS = ["--init", "he_normal", "--param", "activation=gelu", "--shape", "3,3,256,512"]
OPTIONS += ["--seed", "7"]
SPEC = {
    "embed": {"init": "normal", "stddev": 0.02, "shape": [501, 77], "dtype": "bfloat16"},
    "head/kernel": {"init": "glorot_uniform", "shape": [77, 10], "seed": 7},
    "head/bias": {"init": "zeros", "shape": [10]},
    "scale": {"init": "ones", "shape": [], "dtype": "float64"},
}


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def here(*arguments):
    """`philinit ...` in this process, for what needs no process of its own."""
    return CliRunner().invoke(cli, list(map(str, arguments)))
