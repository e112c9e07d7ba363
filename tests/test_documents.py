"""The commands of the documents name options that there are, with values that are possible."""

import ast
import re
import shlex
from pathlib import Path

import pytest

from galr.options import load_options
from galr.sweep.runs import plan_runs
from tests.test_imports import LAYER

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "benchmarks/README.md"]
COMMAND = re.compile(
    r"python (?:train|test)\.py|python -m galr\.sweep|python benchmarks/budget\.py"
)


def commands():
    """(page, words) of every command that takes options files, its lines joined."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL):
            for line in block.splitlines():
                if COMMAND.match(line.strip()):
                    yield page.name, shlex.split(line, comments=True)


def values(words, flag):
    return [words[i + 1] for i, word in enumerate(words) if word == flag and words[i + 1] != "..."]


FOUND = [
    (page, words)
    for page, words in commands()
    # KEY=VALUE stands for what a table's line says
    if all((ROOT / word).exists() for word in words if word.endswith(".yaml") and "*" not in word)
]


def test_there_are_commands_to_look_at():
    assert len(FOUND) > 12


@pytest.mark.parametrize(("page", "words"), FOUND, ids=lambda part: str(part)[:60])
def test_a_command_names_options_that_there_are(page, words):
    overrides = [value for value in values(words, "--set") if value != "KEY=VALUE"]
    if words[1].endswith(".py") and words[1] != "benchmarks/budget.py":
        (path,) = values(words, "--path_opt") or ["options/RSITMD_GaLR.yaml"]
        load_options(ROOT / path, overrides)
        return
    baseline = values(words, "--baseline")
    patterns = [word for word in words if word.endswith(".yaml")]
    for path in baseline:
        patterns.reverse()
        patterns.remove(path)  # the last: it names one of the files again
        patterns.reverse()
    files = [str(path) for pattern in patterns for path in sorted(ROOT.glob(pattern))]
    assert plan_runs(files, overrides, [], values(words, "--vary"))


ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PLACES = re.findall(r"`([\w/]+\.py)`:\s+`([\w.]+)`", ARCHITECTURE)


def names_in(path):
    """Functions and classes of a file, methods as ``Class.method``."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        if isinstance(node, ast.ClassDef):
            functions = (part for part in node.body if isinstance(part, ast.FunctionDef))
            yield from (f"{node.name}.{function.name}" for function in functions)


def test_the_architecture_points_to_code_that_there_is():
    assert len(PLACES) > 40
    missing = [
        f"{path}: {name}"
        for path, name in PLACES
        if not (ROOT / path).is_file() or name not in names_in(ROOT / path)
    ]
    assert missing == []


def test_the_architecture_lists_the_layers_in_their_order():
    rows = re.findall(r"^\|[^|]*\| `([\w.]+)` \|", ARCHITECTURE, re.MULTILINE)
    assert sorted(rows, key=lambda name: LAYER[name]) == rows
    assert set(rows) == set(LAYER)


def test_the_benchmarks_are_listed_once_each():
    text = (ROOT / "benchmarks/README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+\.py)` \|", text, re.MULTILINE)
    scripts = [
        path.name
        for path in sorted((ROOT / "benchmarks").glob("*.py"))
        if "__main__" in path.read_text(encoding="utf-8")
    ]
    assert sorted(listed) == scripts
    for name in re.findall(r"benchmarks/(\w+\.py)", text):
        assert name in scripts
