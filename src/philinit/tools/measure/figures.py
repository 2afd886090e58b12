# SPDX-License-Identifier: Apache-2.0
"""Pictures by matplotlib with one style, the same file each time."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from philinit.checks import missing_extra

try:
    import matplotlib as mpl
    from matplotlib.figure import Figure
except ImportError as error:
    raise missing_extra("a picture", "matplotlib", "plot") from error

STYLE = {"svg.hashsalt": "philinit", "axes.edgecolor": "#777777", "axes.formatter.useoffset": False}


@contextlib.contextmanager
def picture(path: Path, width: float, height: float, font_size: int) -> Iterator[Any]:
    """A figure of so many inches to draw on, which is then written, by the ending of `path`."""
    with mpl.rc_context({**STYLE, "font.size": font_size}):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        metadata = {"Date": None} if path.suffix.lower() == ".svg" else {"Software": None}
        figure.savefig(path, dpi=150, metadata=metadata, facecolor="white")
