# SPDX-License-Identifier: Apache-2.0
"""What these pages add to Sphinx: help of commands, cells of a notebook, a filter, a search."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from typing import Any

import click
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.search.en import SearchEnglish
from sphinx.util.docutils import SphinxDirective


def help_of(command: str) -> str:
    """What ``philinit COMMAND --help`` prints, 88 columns wide; of the group for ``philinit``."""
    cli: Any = importlib.import_module("philinit.cli.group").cli
    parent = click.Context(
        cli, info_name="philinit", terminal_width=88, **cli.context_settings
    )
    if command == "philinit":
        return parent.get_help()
    found = cli.get_command(parent, command)
    if found is None:
        raise ValueError(f"philinit has no command {command!r}")
    help_text: str = click.Context(
        found, info_name=command, parent=parent, terminal_width=88
    ).get_help()
    return help_text


class CommandHelp(SphinxDirective):
    """The help of the command that is its argument."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """One block of text."""
        text = help_of(self.arguments[0])
        return [nodes.literal_block(text, text, language="text")]


class Notebook(SphinxDirective):
    """The cells of the notebook that is its argument: text as Markdown, code, and its output."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Nodes in the order of the cells."""
        path = Path(self.env.srcdir) / self.arguments[0]
        self.env.note_dependency(str(path))
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        parent = nodes.section()
        for cell in cells:
            text = "".join(cell["source"])
            if cell["cell_type"] == "markdown":
                self.state.nested_parse(
                    StringList(text.splitlines(), str(path)), 0, parent
                )
            else:
                parent += nodes.literal_block(text, text, language="python")
                for output in cell["outputs"]:
                    parent += self._shown(output)
        return parent.children

    @staticmethod
    def _shown(output: dict[str, Any]) -> nodes.Node:
        """What a cell printed, or its picture, inside the page."""
        if "text" in output:
            text = "".join(output["text"])
            return nodes.literal_block(text, text, language="text")
        data = output["data"]["image/png"].replace("\n", "")
        return nodes.image(
            uri=f"data:image/png;base64,{data}", alt="the picture of this cell"
        )


def escape_underscores(*event: Any) -> None:
    """Keep torch's ``normal_`` and the like from being read as links, which end so in docstrings.

    Words in backquotes stay as they are.
    """
    lines: list[str] = event[-1]
    for number, line in enumerate(lines):
        parts = line.split("`")
        parts[::2] = [re.sub(r"(?<=\w)_(?=\W|$)", r"\\_", part) for part in parts[::2]]
        if not line.lstrip().startswith((">>>", "...")):
            lines[number] = "`".join(parts)


def break_names(*event: Any) -> None:
    """Let code in tables break after its dots and brackets, so that no column is as wide as that."""
    context = event[3]

    def cell(match: re.Match[str]) -> str:
        return re.sub(r"(?<=\w[._(=/])(?=[A-Za-z_][^<>]*</span>)", "<wbr>", match[0])

    if "body" in context:
        context["body"] = re.sub(
            r"<td>.*?</td>", cell, context["body"], flags=re.DOTALL
        )


class Search(SearchEnglish):
    """Finds torch's ``trunc_normal_`` under "trunc_normal", too."""

    def split(self, input: str) -> list[str]:  # noqa: A002 - Sphinx names it so
        """The words of a text; those that end with underscores also without."""
        words = super().split(input)
        return words + [word.rstrip("_") for word in words if word.endswith("_")]


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_directive("command-help", CommandHelp)
    app.add_directive("notebook", Notebook)
    app.connect("html-page-context", break_names)
    app.add_search_language(Search)
    app.connect("autodoc-process-docstring", escape_underscores)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
