# SPDX-License-Identifier: Apache-2.0
"""Where things lie in a checkout."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = {"philinit": ROOT / "src" / "philinit", "philinit.kernels": ROOT / "kernels"}
DOCS = ROOT / "docs"
EXAMPLES = ROOT / "examples"
TESTS = ROOT / "tests"
ENGINES = TESTS / "support" / "engines"


def python_files(*folders: Path) -> list[Path]:
    """Every Python file below these folders, in a fixed order."""
    return sorted(path for folder in folders for path in folder.rglob("*.py"))
