# SPDX-License-Identifier: Apache-2.0
"""``python -m philinit`` is ``python -m philinit.cli``."""

import runpy

if __name__ == "__main__":
    runpy.run_module("philinit.cli", run_name="__main__", alter_sys=True)
