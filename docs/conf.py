# SPDX-License-Identifier: Apache-2.0
"""Settings of Sphinx for these pages: ``make docs`` writes them to build/docs.

The reference is made from docstrings. philinit itself is imported for it, and needs NumPy and Numba
only; TensorFlow, Keras, JAX and CuPy are stood in for, and need not be installed, nor need torch.
"""

import sys
from pathlib import Path

from sphinx.ext.autodoc.mock import MockFinder

import philinit

sys.path.insert(0, str(Path(__file__).parent))  # for directives.py

project = "philinit"
release = philinit.__version__
copyright = "the authors of philinit; Apache-2.0"  # noqa: A001 - Sphinx names it so

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "directives",
]
myst_enable_extensions = ["colon_fence"]  # cards hold Markdown
myst_heading_anchors = 3  # links such as migrating.md#saving
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True

# Types such as "Uniform or Normal" in docstrings name several classes: that is not worth a link.
suppress_warnings = ["ref.python"]

html_theme = "furo"
html_title = "philinit"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_favicon = "static/icon.svg"
pygments_dark_style = "github-dark"
html_copy_source = False
html_show_sphinx = False

autodoc_mock_imports = ["tensorflow", "keras", "torch", "jax", "cupy"]
# Sphinx stands in for them one page at a time, and in between would import one that is installed.
sys.meta_path.insert(0, MockFinder(autodoc_mock_imports))
autodoc_typehints = "none"  # the docstrings say more than `Any`
autodoc_class_signature = "mixed"
napoleon_google_docstring = False
napoleon_use_rtype = False
smartquotes = False  # "uniform" is a str
default_role = "py:obj"  # `Key` in a docstring leads to Key, where there is one
python_maximum_signature_line_length = 88
