"""Imports point one way, and the package's window opens fast."""

import ast
import subprocess
import sys
from pathlib import Path

import galr

ROOT = Path(__file__).resolve().parents[1]

# a room may import from the rooms of a lower floor, and from its own
FLOORS = {
    "errors": 0, "atomic": 0, "cli": 0, "options": 0, "progress": 0, "seeding": 0, "device": 0,
    "distributed": 0, "memory": 0,
    "data": 1, "local_features": 1,
    "model": 2,
    "evaluation": 3,
    "training": 4,
    "skipthoughts_training": 5, "report": 5, "search": 5, "sweep": 5, "warm_start": 5, "export": 5,
    "commands": 6, "console": 7,
}  # fmt: skip


def imported_rooms(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "galr" and len(parts) > 1 and parts[1] in FLOORS:
                yield parts[1], node.lineno


def test_no_module_reaches_up():
    wrong = []
    for path in sorted((ROOT / "galr").rglob("*.py")):
        room = path.relative_to(ROOT / "galr").with_suffix("").parts[0]
        if room == "__init__":
            continue
        assert room in FLOORS, f"{path} is on no floor"
        wrong += [
            f"{path.relative_to(ROOT)}:{line} imports galr.{other}"
            for other, line in imported_rooms(path)
            if other != room and FLOORS[other] > FLOORS[room]
        ]
    assert wrong == []


def test_importing_the_package_does_not_import_torch():
    code = "import sys, galr; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_every_name_in_the_window_is_there():
    for name in galr.__all__:
        assert getattr(galr, name).__name__ == name
