# SPDX-License-Identifier: Apache-2.0
"""`python -m philinit`: the command line."""

if __name__ == "__main__":
    from philinit.cli import main

    main()
