# SPDX-License-Identifier: Apache-2.0
"""``python -m philinit.cli``."""

from philinit.cli import main

if __name__ == "__main__":
    main()
