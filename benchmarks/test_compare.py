# SPDX-License-Identifier: Apache-2.0
"""compare.py on made-up runs: what got slower is found, what only the machine did is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import compare
from philinit.tools.bench.contenders import CONTENDERS
from philinit.tools.bench.workloads import WORKLOADS

NAMES = ("memset", "philinit", "philinit, TensorFlow's bits", "tf.random", "torch", "JAX")
SIZE = 1 << 20


def run(seed: int, factors: dict[str, float] | None = None, noise: float = 0.03) -> dict[str, Any]:
    """A document: rounds with log-normal noise about 10 ms, times a factor by contender."""
    generator = np.random.Generator(np.random.PCG64(seed))
    results = []
    for workload in WORKLOADS:
        for name in NAMES:
            seconds = 0.01 * (factors or {}).get(name, 1.0)
            rounds = 15 if not CONTENDERS[name].peer else 4
            results.append(
                {
                    "workload": workload.name,
                    "contender": name,
                    "weights": SIZE,
                    "dtype": "float32",
                    "memory": "new",
                    "seconds": (
                        seconds * np.exp(noise * generator.standard_normal(rounds))
                    ).tolist(),
                }
            )
    versions = {"tensorflow": "2", "torch": "2", "jax": "0.10", "numpy": "2"}
    machine = {"processor": "one", "threads": 2, "system": "Linux", "versions": versions}
    return {"machine": machine, "results": results}


@pytest.fixture
def compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Exit code and output of `compare.py old.json new.json`."""

    def compared(old: dict[str, Any], new: dict[str, Any], *options: str) -> tuple[int, str]:
        paths = [tmp_path / "old.json", tmp_path / "new.json"]
        for path, document in zip(paths, (old, new), strict=True):
            path.write_text(json.dumps(document), encoding="utf-8")
        code = compare.main([*map(str, paths), *options])
        said = capsys.readouterr()
        return code, said.out + said.err

    return compared


def test_two_runs_of_the_same_code_do_not_differ(compared: Any) -> None:
    for seed in range(20):
        code, said = compared(run(2 * seed), run(2 * seed + 1))
        assert code == 0, said
        assert "20 figures of philinit in both: 0 slower, 0 faster" in said


def test_a_spoiled_twin_is_found(compared: Any) -> None:
    code, said = compared(run(1), run(2, {"philinit": 1.15}))
    assert code == 1
    assert said.count("slower\n") + said.count("slower ") >= len(WORKLOADS)
    assert "10 slower, 0 faster" in said
    assert ": philinit, TensorFlow's bits" not in said


def test_one_spoiled_figure_among_many_is_named(compared: Any) -> None:
    new = run(2)
    spoiled = next(row for row in new["results"] if row["contender"] == "philinit")
    spoiled["seconds"] = [1.2 * value for value in spoiled["seconds"]]
    code, said = compared(run(1), new)
    assert code == 1
    assert "1 slower, 0 faster" in said
    assert f"{spoiled['workload']}, 1,048,576 float32, new: philinit" in said


def test_a_slower_machine_is_not_slower_code(compared: Any) -> None:
    everybody = dict.fromkeys(NAMES, 1.6)
    code, said = compared(run(1), run(2, everybody))
    assert code == 0, said
    assert "the machine itself, by 40 figures of peers and memset: +59.4%" in said
    code, said = compared(run(1), run(2, everybody | {"philinit": 1.6 * 1.2}))
    assert code == 1
    assert "10 slower" in said


def test_what_got_faster_is_said_and_is_no_failure(compared: Any) -> None:
    code, said = compared(run(1), run(2, {"philinit": 0.8}))
    assert code == 0
    assert "0 slower, 10 faster" in said


def test_a_change_within_the_spread_is_not_called(compared: Any) -> None:
    code, said = compared(run(1, noise=0.3), run(2, {"philinit": 1.05}, noise=0.3))
    assert code == 0, said


def test_a_peer_of_another_version_tells_nothing_of_the_machine() -> None:
    old, new = run(1), run(2, {"torch": 3.0, "JAX": 3.0, "tf.random": 3.0})
    versions = {"tensorflow": "3", "torch": "3", "jax": "0.11", "numpy": "2"}
    new["machine"] = new["machine"] | {"versions": versions}
    _, drift, _ = compare.changes(old, new)
    assert abs(drift) < 0.05


def test_the_formula_of_the_error() -> None:
    figure = compare.Figure("", "philinit", [1.0, 2.0, 3.0, 4.0, 5.0])
    s = (4.0 - 2.0) / (1.349 * 3.0)  # quartiles 2 and 4, median 3
    assert compare._error(figure, 0.0) == pytest.approx(1.2533 * s / 5**0.5)
    assert compare._error(figure, 9.0) == pytest.approx(1.2533 * 9.0 / 5**0.5)


def test_runs_of_two_machines_are_refused(compared: Any) -> None:
    other = run(2)
    other["machine"] = other["machine"] | {"processor": "two"}
    code, said = compared(run(1), other)
    assert code == 2
    assert "both must be of one machine; processor is one in the old one, two in the new" in said
    assert compared(run(1), other, "--any-machine")[0] == 0


def test_files_with_nothing_in_common_are_refused(compared: Any) -> None:
    nothing = run(2) | {"results": []}
    code, said = compared(run(1), nothing)
    assert code == 2
    assert "no figure in common" in said


def test_the_reference_of_keras_can_be_compared_with_itself() -> None:
    path = Path(compare.__file__).parent / "results" / "reference-keras-2026-11-22.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    found, drift, _ = compare.changes(document, document)
    assert found
    assert drift == 0.0
    assert all(change.change == 0.0 for change in found)
