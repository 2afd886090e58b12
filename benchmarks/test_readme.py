# SPDX-License-Identifier: Apache-2.0
"""G5: the README's figures are those of the run that it names."""

from __future__ import annotations

from pathlib import Path

import ratios
import readme
import report
import scripts
from philinit.tools.bench.workloads import WORKLOADS


def test_g5_every_figure_of_the_readme_is_one_of_the_run_that_it_names() -> None:
    path = readme.named()
    document = scripts.read(path)
    assert document["complete"] and not document["quick"]
    assert document["ratios"] == ratios.document_of(ratios.rows(document))
    assert path.with_suffix(".md").read_text(encoding="utf-8") == report.markdown(document)
    whole = readme.README.read_text(encoding="utf-8")
    measured = whole.partition(readme.BEGIN)[2].partition(readme.END)[0]
    assert measured == readme.text(document, path.name)
    assert all(f"| {workload.name}, " in measured for workload in WORKLOADS)


def test_every_missed_target_is_named() -> None:
    path = readme.named()
    document = scripts.read(path)
    missed = [row["what"] for row in document["ratios"] if row["reached"] is False]
    text = readme.text(document, path.name)
    assert all(what in text for what in missed)


def test_the_rest_of_a_readme_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(f"before\n{readme.BEGIN}old\n{readme.END}after\n", encoding="utf-8")
    source = readme.named()
    readme.write(scripts.read(source), source.name, path)
    found = path.read_text(encoding="utf-8")
    assert found.startswith("before\n") and found.endswith("after\n")
    assert "old" not in found and source.name in found
