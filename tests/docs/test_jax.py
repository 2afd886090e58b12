# SPDX-License-Identifier: Apache-2.0
"""docs/jax.md: the code of each section runs, where its libraries are."""

import re

import pytest

from tests.support.paths import DOCS
from tests.support.workers import needs

needs("jax", "jaxlib")

GUIDE = (DOCS / "jax.md").read_text(encoding="utf-8")
START, *SECTIONS = re.split(r"^(?=## )", GUIDE, flags=re.MULTILINE)


def code_of(text):
    return "".join(re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE))


def title(section):
    return section.partition("\n")[0].lstrip("# ")


@pytest.fixture(scope="module")
def names():
    """What the sections before have made; none needs a library that may be missing."""
    found = {}
    for text in (START, *SECTIONS):
        if not re.search(r"^(?:import|from) (?:flax|haiku|equinox)\b", code_of(text), re.MULTILINE):
            exec(compile(code_of(text), "jax.md", "exec"), found)
    return found


@pytest.mark.parametrize("section", [s for s in SECTIONS if code_of(s)], ids=title)
def test_a_section_runs(section, names):
    for library in ("flax", "haiku", "equinox"):
        if title(section).lower() == library:
            pytest.importorskip(library)
    exec(compile(code_of(section), "jax.md", "exec"), dict(names))


def test_export_refuses_a_program_that_calls_this_process(names):
    jax = names["jax"]
    program = jax.jit(lambda key: names["initializers"].he_normal()(key, (8, 8)))
    with pytest.raises(ValueError, match="philinit_fill"):
        jax.export.export(program)(jax.random.key(0)).serialize()
