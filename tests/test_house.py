# SPDX-License-Identifier: Apache-2.0
"""The tree shows the architecture: who may import whom, no circles, no crowd, one spelling.

Every import counts, those inside functions and those for annotations only as well. The root
package is left out: its `__init__` looks names up in floors above it when they are first used.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

import pytest

from tests.support.paths import ROOT, SOURCES, TESTS, python_files
from tests.support.planted import assert_caught

# From the ground up. A module imports what lies on a floor below its own, or in its own part.
FLOORS = (
    ("philinit",),  # the modules at the root: checks, dtypes, keys, parts, ...
    ("philinit.kernels",),
    ("philinit.filling.cuda",),
    ("philinit.filling",),
    ("philinit.initializers",),
    ("philinit.tensorflow", "philinit.torch", "philinit.jax"),
    ("philinit.tf1", "philinit.keras"),
    ("philinit.files",),
    ("philinit.tools",),
    ("philinit.cli",),
)
MOST_FLOORS = 13  # modules in the longest chain of imports
MOST_MODULES = 16  # in a folder
MOST_LINES = {"src": 300, "kernels": 300, "tests": 400}

Graph = dict[str, set[str]]


def modules() -> dict[str, str]:
    """The source of every module that is installed, by its name."""
    found = {}
    for top, folder in SOURCES.items():
        for path in python_files(folder):
            parts = path.relative_to(folder).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            found[".".join((top, *parts))] = path.read_text(encoding="utf-8")
    return found


def imported(source: str, names: Iterable[str]) -> Iterator[str]:
    """Which of `names` a source imports; it may import a module, or something out of one."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            wanted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            wanted = [
                name if (name := f"{node.module}.{alias.name}") in names else node.module or ""
                for alias in node.names
            ]
        else:
            continue
        yield from (name for name in wanted if name in names)


def graph_of(sources: dict[str, str]) -> Graph:
    """Who imports whom, without the root package and what only starts the command line."""
    outside = {"philinit", "philinit.__main__"}
    return {
        name: set(imported(source, sources)) - {name}
        for name, source in sources.items()
        if name not in outside
    }


def packages(graph: Graph) -> dict[str, str]:
    """The folder of each module, as a package; a package lies in itself."""
    above = {name.rpartition(".")[0] for name in graph}
    return {name: name if name in above else name.rpartition(".")[0] for name in graph}


def floor_of(name: str) -> tuple[int, str]:
    """The floor of a module, and the part of it (an adapter, say) in which it lies."""
    inside = [
        (len(part), number, part)
        for number, floor in enumerate(FLOORS)
        for part in floor
        if f"{name}.".startswith(f"{part}.")
    ]
    _, number, part = max(inside)
    if part == "philinit" and name.count(".") > 1:
        raise AssertionError(f"{name} lies on no floor: give its folder one")
    return number, part


# --- the checks ----------------------------------------------------------------------------------


def check_floors(graph: Graph) -> None:
    wrong = []
    for name, targets in graph.items():
        floor, part = floor_of(name)
        for target in sorted(targets):
            below, other = floor_of(target)
            if target == "philinit" or not (below < floor or other == part):
                wrong.append(f"{name} imports {target}")
    assert not wrong, "\n".join(wrong)


def check_circles_and_height(graph: Graph) -> None:
    heights: dict[str, int] = {}
    chain: dict[str, str] = {}

    def height(name: str, path: tuple[str, ...]) -> int:
        assert name not in path, "a circle of imports: " + " > ".join((*path, name))
        if name not in heights:
            under = {t: height(t, (*path, name)) for t in sorted(graph.get(name, ()))}
            chain[name] = max(under, key=lambda t: under[t], default="")
            heights[name] = 1 + max(under.values(), default=0)
        return heights[name]

    top = max(sorted(graph), key=lambda name: height(name, ()))
    longest = [top]
    while chain.get(longest[-1]):
        longest.append(chain[longest[-1]])
    assert heights[top] <= MOST_FLOORS, f"{heights[top]} floors: " + " > ".join(longest)


def check_one_way(graph: Graph) -> None:
    """No two folders import each other."""
    folder, arrows = packages(graph), set()
    for name, targets in graph.items():
        arrows |= {(folder[name], folder[t]) for t in targets if t in folder}
    both = sorted(f"{a} and {b} import each other" for a, b in arrows if a < b and (b, a) in arrows)
    assert not both, "\n".join(both)


def check_folders(graph: Graph) -> None:
    sizes: dict[str, int] = defaultdict(int)
    for package in packages(graph).values():
        sizes[package] += 1
    crowded = [f"{package}: {n} modules" for package, n in sizes.items() if n > MOST_MODULES]
    assert not crowded, "\n".join(crowded)


def check_length(sources: dict[str, str], most: int) -> None:
    lines = {name: len(text.splitlines()) for name, text in sources.items()}
    long = [f"{name}: {n} lines" for name, n in sorted(lines.items()) if n > most]
    assert not long, "\n".join(long)


CHECKS = (check_floors, check_circles_and_height, check_one_way, check_folders)


@pytest.mark.parametrize("check", CHECKS)
def test_the_imports(check) -> None:
    check(graph_of(modules()))


@pytest.mark.parametrize("top", MOST_LINES)
def test_no_file_is_too_long(top: str) -> None:
    paths = [p for p in (ROOT / top).rglob("*") if p.suffix in (".py", ".cu", ".cuh", ".h")]
    sources = {str(p.relative_to(ROOT)): p.read_text(encoding="utf-8") for p in paths}
    check_length(sources, MOST_LINES[top])


# A planted violation, and what must notice it: (module, what it says, check, words).
VIOLATIONS = {
    "a floor above": ("filling.fill", "import philinit.keras", check_floors, "philinit.keras"),
    "the root package": ("cli.demo", "import philinit", check_floors, "cli.demo imports philinit"),
    "a neighbor": ("torch.memory", "import philinit.jax", check_floors, "philinit.jax"),
    "inside a function": (
        *("keys", "def late():\n    from philinit.filling.fill import fill", check_floors),
        "philinit.keys imports philinit.filling.fill",
    ),
    "a folder of no floor": ("new.thing", "import philinit.keys", check_floors, "on no floor"),
    "a circle": (
        *("checks", "from philinit import targets", check_circles_and_height),
        "a circle of imports",
    ),
    "both ways": (
        *("filling.cuda.memory", "import philinit.filling.fill", check_one_way),
        "philinit.filling and philinit.filling.cuda import each other",
    ),
}


@pytest.mark.parametrize("violation", VIOLATIONS)
def test_a_planted_import_is_caught(violation: str) -> None:
    name, code, check, words = VIOLATIONS[violation]
    sources = modules()
    name = f"philinit.{name}"
    sources[name] = f"{sources.get(name, '')}\n{code}\n"
    assert_caught(check, graph_of(sources), match=words)


def test_crowds_long_chains_and_long_files_are_caught() -> None:
    crowd: Graph = {f"philinit.cli.command{i}": set() for i in range(MOST_MODULES + 1)}
    assert_caught(check_folders, crowd, match="philinit.cli")
    names = [f"philinit.m{i}" for i in range(MOST_FLOORS + 1)]
    chain: Graph = {a: {b} for a, b in zip(names, [*names[1:], "philinit.end"], strict=True)}
    assert_caught(check_circles_and_height, chain, match="floors: philinit.m0 > ")
    assert_caught(check_length, {"a.py": "\n" * 301}, 300, match=r"a\.py")


# --- spelling ------------------------------------------------------------------------------------

# Endings and words that are written otherwise in American English.
BRITISH = re.compile(
    r"\b(\w*(?:initialis|serialis|normalis|optimis|vectoris|organis|recognis|parametris|synchronis"
    r"|summaris|minimis|maximis|utilis|materialis|specialis|generalis|standardis|randomis|realis"
    r"|customis|finalis|memois|discretis|quantis|emphasis|penalis|stabilis|visualis|categoris)"
    r"(?:e|ed|es|er|ers|ing|ation|ations)"
    r"|\w*(?:colour|behaviour|neighbour|favour|honour|labour|flavour|rumour)\w*"
    r"|(?:un)?(?:label|cancel|model|travel|signal|fuel|marshal|tunnel)l(?:ed|ing|er|ers)"
    r"|(?:centre|metre|fibre|theatre|litre|calibre)[sd]?|licence[sd]?|defence|offence|pretence"
    r"|analys(?:e|ed|es|ing)|paralys(?:e|ed|es|ing)|grey|catalogue[sd]?|artefacts?|learnt|spelt"
    r"|whilst|amongst|judgement|acknowledgement|fulfil|fulfils|skilful|ageing|sceptic\w*|programme)\b",
    re.IGNORECASE,
)
TEXTS = (
    "src",
    "kernels",
    "docs",
    "examples",
    "benchmarks",
    "tests",
    "README.md",
    "CONTRIBUTING.md",
)
FOREIGN = re.compile(r"\.cancelled\(")  # names of other people's, as they write them


def british(text: str) -> list[str]:
    return [match[0] for match in BRITISH.finditer(FOREIGN.sub("", text))]


def check_spelling(texts: dict[str, str]) -> None:
    found = [
        f"{name}: {' '.join(words)}" for name, text in texts.items() if (words := british(text))
    ]
    assert not found, "\n".join(found)


def test_the_spelling_is_american() -> None:
    kinds = (".py", ".cu", ".cuh", ".h", ".md", ".ipynb", ".toml")
    paths = [
        path
        for top in TEXTS
        for path in ([ROOT / top] if (ROOT / top).is_file() else (ROOT / top).rglob("*"))
        if path.suffix in kinds and path != TESTS / "test_house.py"
    ]
    assert len(paths) > 200
    check_spelling({str(p.relative_to(ROOT)): p.read_text(encoding="utf-8") for p in paths})


@pytest.mark.parametrize("word", ["Initialiser", "reinitialised", "colours", "labelled", "centre"])
def test_a_british_word_is_caught(word: str) -> None:
    assert_caught(check_spelling, {"a.md": f"The {word} here."}, match=word)
    check_spelling(
        {"a.md": "An initializer serializes colors; a labeled center; emphasis; advise."}
    )
