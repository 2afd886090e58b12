# SPDX-License-Identifier: Apache-2.0
"""docs/notebook.ipynb runs, prints what it shows, and shows its pictures; so does its page."""

import base64
import json
import re
import struct

import pytest

from tests.support.paths import DOCS
from tests.support.processes import run_python

PATH = DOCS / "notebook.ipynb"
TEXT = PATH.read_text(encoding="utf-8")
CODE = [cell for cell in json.loads(TEXT)["cells"] if cell["cell_type"] == "code"]

# Each cell as Jupyter runs it: in one namespace, with what it prints kept apart.
RUN = """
import contextlib, io, json, sys
names, printed = {"__name__": "__main__"}, []
with open(sys.argv[1], encoding="utf-8") as file:
    cells = json.load(file)["cells"]
for cell in cells:
    if cell["cell_type"] == "code":
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec("".join(cell["source"]), names)
        printed.append(out.getvalue())
print(json.dumps(printed))
"""


def shown(cell):
    """What a cell has printed, as the notebook keeps it."""
    streams = [output for output in cell["outputs"] if output["output_type"] == "stream"]
    assert all(stream["name"] == "stdout" for stream in streams)  # no warnings
    return "".join("".join(stream["text"]) for stream in streams)


def pictures():
    """The PNG files in the notebook."""
    outputs = (output for cell in CODE for output in cell["outputs"])
    found = [output["data"]["image/png"] for output in outputs if "data" in output]
    return [base64.b64decode(picture) for picture in found]


def test_every_cell_runs_and_prints_what_the_notebook_shows():
    for framework in ("matplotlib", "keras", "tensorflow"):
        pytest.importorskip(framework)
    variables = {"TF_CPP_MIN_LOG_LEVEL": 3, "MPLBACKEND": "Agg"}
    printed = json.loads(run_python(RUN, PATH, env=variables).stdout)
    for cell, text in zip(CODE, printed, strict=True):
        if "measured" not in cell["metadata"].get("tags", ()):  # milliseconds of one machine
            assert text == shown(cell)
    assert "8,407,050 weights, all equal\n" in printed


def test_the_notebook_was_run_from_top_to_bottom():
    assert [cell["execution_count"] for cell in CODE] == list(range(1, len(CODE) + 1))
    assert not [o for cell in CODE for o in cell["outputs"] if o["output_type"] == "error"]
    assert sum(bool(shown(cell)) for cell in CODE) >= 5


def test_it_has_the_five_pictures_and_tables_and_is_small():
    found = pictures()
    assert len(found) == 4  # a density, activations, times, a shard; of the large table, rows
    for picture in found:
        assert picture.startswith(b"\x89PNG")
        width, height = struct.unpack(">II", picture[16:24])
        assert width > 400 and height > 150
        assert len(picture) < 60_000
    assert len(TEXT) < 500_000
    text = "".join(map(shown, CODE))
    assert "1,000,000,000,000 weights, 4 TB" in text
    assert re.search(r"^philinit: [\d.]+ ms for 4,194,304 weights$", text, re.MULTILINE)


def test_nothing_in_it_names_the_machine():
    for cell in json.loads(TEXT)["cells"]:
        assert set(cell["metadata"]) <= {"tags"}  # no times of execution
        assert not re.search(r"/home|/root|/tmp|/Users|site-packages|Warning", str(cell["source"]))
    for cell in CODE:
        assert not re.search(r"/\w+/|\\\\|Warning|0x[0-9a-f]{6}", shown(cell))


def test_the_page_of_the_notebook_has_its_outputs(tmp_path, monkeypatch):
    for package in ("sphinx", "click"):
        pytest.importorskip(package)
    (tmp_path / "conf.py").write_text(
        f"import sys\nsys.path.insert(0, {str(DOCS)!r})\n"
        "extensions = ['myst_parser', 'sphinx.ext.autodoc', 'directives']\n"
    )
    (tmp_path / "index.md").write_text("# A tour\n\n```{notebook} notebook.ipynb\n```\n")
    (tmp_path / "notebook.ipynb").write_text(TEXT, encoding="utf-8")
    arguments = ["-q", "-W", "-b", "html", str(tmp_path), str(tmp_path / "out")]
    run_python(
        "from sphinx.cmd.build import main; import sys; sys.exit(main(sys.argv[1:]))", *arguments
    )
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "8,407,050 weights, all equal" in page
    found = re.findall(r'<img [^>]*src="data:image/png;base64,([^"]*)"', page)
    assert [base64.b64decode(picture) for picture in found] == pictures()
