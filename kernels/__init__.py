# SPDX-License-Identifier: Apache-2.0
"""The kernels. This folder is installed as `philinit.kernels`; README.md is the specification."""

if __name__ != "philinit.kernels":
    raise ImportError(
        "this folder is installed as 'philinit.kernels'; do not import it as 'kernels'"
    )
