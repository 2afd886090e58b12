# SPDX-License-Identifier: Apache-2.0
"""The pages of docs/ are whole: none left out, no link into nothing, every public name documented.

`make docs` builds them, with warnings as errors; this needs no Sphinx.
"""

import importlib
import inspect
import re

import pytest

from tests.support.paths import DOCS, ROOT

PAGES = sorted(DOCS.rglob("*.md"))
BESIDE = ("README", "CONTRIBUTING", "CHANGELOG", "SECURITY", "kernels/README", "benchmarks/README")
ALL_PAGES = [*PAGES, *(ROOT / f"{name}.md" for name in BESIDE)]
INDEX = (DOCS / "index.md").read_text(encoding="utf-8")

# A public module, and what it needs.
MODULES = {
    "philinit": None,
    "philinit.distributions": None,
    "philinit.initializers.models": None,
    "philinit.initializers.recipes": None,
    "philinit.filling.memory": None,
    "philinit.filling.dlpack": None,
    "philinit.tensorflow": "tensorflow",
    "philinit.keras": "keras",
    "philinit.tf1": "tensorflow",
    "philinit.torch": "torch",
    "philinit.jax": "jax",
    "philinit.jax.nn.initializers": "jax",
}
# Where its page is not the one of its last name.
PAGE_OF = {"philinit.jax.nn.initializers": "jax"}


def public(module):
    """The names that a user may use: those of __all__, or what the module itself defines."""
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return list(listed)
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]


def documented(module, name):
    """Whether its own docstring says what it is; for other values a comment, or the module's."""
    value = getattr(module, name)
    if inspect.isclass(value) or inspect.isfunction(value):
        own = value.__doc__ or ""
        if own and not own.startswith(f"{value.__name__}("):  # as dataclass makes them
            return True
    comment = re.search(rf"^#: .*\n{name} =", inspect.getsource(module), re.MULTILINE)
    return comment is not None or name in (module.__doc__ or "")


def test_every_page_is_in_a_table_of_contents_and_every_entry_is_a_page():
    entries = []
    for toctree in re.findall(r"```\{toctree\}\n(.*?)```", INDEX, re.DOTALL):
        entries += re.findall(r"^(?:.* <)?([\w/-]+)>?$", toctree, re.MULTILINE)
    pages = {str(p.relative_to(DOCS).with_suffix("")) for p in PAGES} - {"index"}
    assert sorted(entries) == sorted(pages)


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_has_a_docstring_and_stands_in_the_reference(name):
    if MODULES[name]:
        pytest.importorskip(MODULES[name])
    module = importlib.import_module(name)
    page = PAGE_OF.get(name, name.rpartition(".")[2])
    text = (DOCS / "reference" / f"{page}.md").read_text(encoding="utf-8")
    names = public(module)
    assert len(names) >= 3
    if f".. automodule:: {name}\n   :members:\n" in text:
        shown = set(names)
    else:
        shown = set(re.findall(r"^\.\. auto(?:class|function):: (\w+)$", text, re.MULTILINE))
    own = [n for n in names if not inspect.ismodule(getattr(module, n))]
    assert set(own) <= shown, sorted(set(own) - shown)
    bare = [n for n in own if not documented(module, n)]
    assert not bare, f"without a docstring: {bare}"


def test_every_command_is_on_the_page_of_the_command_line():
    group = pytest.importorskip("philinit.cli.group", exc_type=ImportError)
    text = (DOCS / "command-line.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```\{command-help\} (\w+)$", text, re.MULTILINE)
    import click

    commands = group.cli.list_commands(click.Context(group.cli))
    assert shown[0] == "philinit" and sorted(shown[1:]) == sorted(commands)


def anchors_of(text):
    """The anchors of a page's headings, as GitHub and MyST make them."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", ALL_PAGES)
def test_links_lead_somewhere(path):
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.M)
    for link in re.findall(r"\]\(([^)\s]*)\)", text):
        if link.startswith("https://"):
            continue
        file, _, anchor = link.partition("#")
        target = path.parent / file if file else path
        assert target.is_file(), link
        if anchor:
            assert anchor in anchors_of(target.read_text(encoding="utf-8")), link
    for included in re.findall(r"^```\{include\} (.*)$", path.read_text(encoding="utf-8"), re.M):
        assert (path.parent / included).is_file()


def test_code_fits_beside_the_menus():
    wide = []
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        blocks = re.findall(r"^```(?:python|py|sh)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
        indented = re.findall(r"^    (.*)$", text, re.MULTILINE)
        lines = [*"\n".join(blocks).splitlines(), *indented]
        wide += [f"{path.name}: {line}" for line in lines if len(line) > 88]
    assert not wide, "\n".join(wide)


def test_files_and_programs_that_pages_name_exist():
    for path in ALL_PAGES:
        text = path.read_text(encoding="utf-8")
        folders = "tests|docs|examples|benchmarks|kernels"
        names = re.findall(rf"\b((?:{folders})/[\w/-]+\.(?:py|md|ipynb|json|svg))", text)
        for name in names:
            assert (ROOT / name).exists(), f"{path.name}: {name}"


def test_make_has_every_target_that_pages_name():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = {
        name
        for path in ALL_PAGES
        for name in re.findall(r"(?:^ {4}|`)make ([a-z-]+)", path.read_text("utf-8"), re.MULTILINE)
    }
    assert {"demo", "test", "bench"} <= named <= targets
