"""Imports point one way, the package's window opens fast, and earlier names still import."""

import ast
import json
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import galr
from galr.common.renamed import RENAMED

ROOT = Path(__file__).resolve().parents[1]

# docs/architecture.md draws them: a package imports from packages of lower layers, and from itself
LAYERS = [
    ["galr.common"],
    ["galr.options"],
    ["galr.local_features"],
    ["galr.images"],
    ["galr.language"],
    ["galr.data", "galr.metrics"],
    ["galr.weights", "galr.leakage"],
    ["galr.encoders"],
    ["galr.model", "postprocessing"],
    ["galr.evaluation", "galr.monitoring"],
    ["galr.training"],
    # what is built on the core
    ["galr.image_input", "galr.scenes", "galr.serving"],
    ["galr.trained_model"],
    ["galr.demo", "galr.preparation", "galr.detectors", "galr.skipthoughts_training"],
    ["galr.report", "galr.search", "galr.sweep", "galr.warm_start", "galr.export"],
    ["galr.localise"],
    ["galr.quickstart", "galr.doctor"],
    ["galr.commands"],
]
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names}
# a package's command stands above everything, and nothing imports it
DOORS = "__main__"


def modules():
    """Every module of the product by its name; packages without their ``__init__``."""
    for folder in ("galr", "postprocessing"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


MODULES = dict(modules())


def imports(path):
    """The modules of the product that a file imports, wherever in it, but for the type checker."""
    tree = ast.parse(path.read_text())
    unseen = [
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    ]
    for node in ast.walk(tree):
        if node in unseen:
            continue
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} has a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else node.module for name in names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        yield from ((name, node.lineno) for name in names if name in MODULES)


def package(module):
    parts = module.split(".")
    return parts[0] if parts[0] == "postprocessing" else ".".join(parts[:2])


def is_door(module):
    return module.endswith(f".{DOORS}")


def test_no_module_reaches_up():
    wrong = []
    for module, path in MODULES.items():
        if module == "galr" or is_door(module):
            continue
        for other, line in imports(path):
            if is_door(other):
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports the command {other}")
            elif other == "galr":
                continue  # its version and lazy window
            elif (
                package(other) != package(module)
                and LAYER[package(other)] >= LAYER[package(module)]
            ):
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {other}")
    assert wrong == []


def test_no_circle_among_modules():
    graph = {
        module: {other for other, _ in imports(path) if other != module}
        for module, path in MODULES.items()
    }
    TopologicalSorter(graph).prepare()  # raises CycleError with the circle


def test_importing_the_package_does_not_import_torch():
    code = "import sys, galr; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


HELP_OF_ALL = """
import contextlib, importlib, io, sys
from galr.__main__ import COMMANDS
from postprocessing.rerank.__main__ import SUBCOMMANDS
commands = [[module] for module, _ in COMMANDS.values()]
for module, *words in [*commands, *([COMMANDS["rerank"][0], name] for name in SUBCOMMANDS)]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        importlib.import_module(module).main([*words, "--help"])
    if "torch" in sys.modules:
        sys.exit(f"{module} {' '.join(words)} --help imports torch")
"""


def test_no_help_waits_for_torch():
    run = subprocess.run(
        [sys.executable, "-c", HELP_OF_ALL], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr


def test_every_name_in_the_window_is_there():
    for name in galr.__all__:
        assert getattr(galr, name).__name__ == name


IMPORT_ALL = """
import importlib, json, sys, warnings
from galr.common.renamed import RENAMED
found = {}
for old, new in RENAMED.items():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        is_same = importlib.import_module(old) is sys.modules[new]
    found[old] = [is_same, [[each.category.__name__, str(each.message)] for each in caught]]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def imported():
    """What a fresh interpreter says to the import of each earlier name."""
    command = [sys.executable, "-c", IMPORT_ALL]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


@pytest.mark.parametrize("old", RENAMED)
def test_an_earlier_name_gives_the_same_module_and_a_warning(imported, old):
    is_same, warned = imported[old]
    assert is_same
    assert ["FutureWarning", f"{old} is now {RENAMED[old]}"] in warned


def test_an_earlier_command_still_runs():
    run = subprocess.run(
        [sys.executable, "-m", "galr.data.demo", "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0
    assert "usage: python -m galr.demo" in run.stdout
    assert "galr.data.demo is now galr.demo" in run.stderr
