"""Mutation testing: each module with small faults put in, against its own fast tests.

    bash exec/run_mutations.sh [MODULE ...] [--most N] [--seed N] [--out FILE]

The faults are those of cosmic-ray's operators. Of the variants at one place (a sum turned into
each other operation) one is drawn, and of the places ``--most`` a module, both by ``--seed``.
Annotations and docstrings are left out. A mutant is run in a fork of this process, which has
imported torch already, and never reaches the disk, so that only tests in the process see it.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import difflib
import gc
import importlib.util
import os
import random
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest
import torch
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names
from hypothesis import Phase, settings

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 60  # a mutant that runs longer is in an endless loop

GOLDEN = "tests/test_golden.py::test_results_are_those_that_were_kept"
TESTS = {
    "galr/training/loss.py": f"tests/training/test_loss.py tests/training/test_criterion.py "
    f"{GOLDEN}[losses]",
    "galr/training/schedule.py": "tests/training/test_schedule.py",
    "galr/training/checkpoint.py": "tests/training/test_checkpoint.py",
    "galr/training/fold_trainer.py": "tests/training/test_epoch.py",
    "galr/training/optimizer.py": "tests/training/test_average.py tests/training/test_step.py",
    "galr/training/backbone.py": "tests/training/test_step.py -k trained",
    "galr/metrics/retrieval.py": f"tests/evaluation/test_metrics.py {GOLDEN}[metrics]",
    "galr/evaluation/results.py": "tests/evaluation/test_results.py",
    "galr/metrics/similarities.py": "tests/evaluation/test_metrics.py "
    "tests/postprocessing/test_rerank.py",
    "galr/local_features/drea.py": f"tests/local_features/test_drea.py {GOLDEN}[drea]",
    "galr/data/sampling.py": "tests/data/test_sampling.py",
    "postprocessing/multivariate.py": "tests/postprocessing/test_rerank.py",
    "postprocessing/neighbours.py": "tests/postprocessing/test_rerank.py",
    "postprocessing/topk.py": "tests/postprocessing/test_rerank.py",
}


def mutants(source: str, most: int, seed: int) -> list[str]:
    """Sources with one fault each, at most ``most`` of them."""
    draw = random.Random(seed)
    at: dict[tuple[object, ...], list[tuple[str, int]]] = defaultdict(list)
    for name in operator_names():
        if "Variable" in name:  # wants to be told which
            continue
        operator = get_operator(name)()
        positions = (
            place
            for node in ast_nodes(get_ast(source))
            for place in operator.mutation_positions(node)
        )
        kind = name.split("_")[0]
        for occurrence, place in enumerate(positions):
            at[(kind, *place)].append((name, occurrence))
    meant, found = _meaning(source), []
    places = list(at.values())
    draw.shuffle(places)
    for variants in places:
        name, occurrence = draw.choice(variants)
        with contextlib.suppress(SyntaxError):
            changed = mutate_code(source, get_operator(name)(), occurrence)
            if changed is not None and _meaning(changed) != meant:
                found.append(changed)
        if len(found) == most:
            break
    return found


def _meaning(source: str) -> str:
    """What a module does: its syntax without annotations and docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.FunctionDef):
            node.returns = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value = ast.Constant(None)
    return ast.dump(tree)


class _Mutated(MetaPathFinder, Loader):
    """Imports the module at ``path`` from another source."""

    def __init__(self, path: str, source: str) -> None:
        self.path, self.source = path, source
        self.name = path.removesuffix(".py").replace("/", ".")

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != self.name:
            return None
        return importlib.util.spec_from_file_location(name, ROOT / self.path, loader=self)

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self.source, str(ROOT / self.path), "exec"), module.__dict__)


def survives(path: str, source: str) -> bool:
    """Whether the tests of the module at ``path`` pass with ``source`` in its place."""
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        signal.alarm(SECONDS)
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
        sys.meta_path.insert(0, _Mutated(path, source))
        code = 1
        with contextlib.suppress(BaseException):
            # assertions as they are: rewriting them takes longer than most of the tests
            how = ["-x", "-q", "--assert=plain", "-p", "no:cacheprovider"]
            code = pytest.main([*how, *TESTS[path].split()])
        os._exit(code)
    return os.waitpid(child, 0)[1] == 0


def _difference(source: str, changed: str) -> Iterator[str]:
    lines = difflib.unified_diff(source.splitlines(), changed.splitlines(), lineterm="", n=0)
    return (line for line in lines if not line.startswith(("---", "+++")))


def _import_packages() -> None:
    """Imports what the modules import, and forgets the modules themselves."""
    for path in TESTS:
        importlib.import_module(path.removesuffix(".py").replace("/", "."))
    for name in list(sys.modules):
        if name.partition(".")[0] in ("galr", "postprocessing"):
            del sys.modules[name]
    # a failure is enough; its smallest example takes long to find
    phases = (Phase.explicit, Phase.generate)
    settings.register_profile("mutants", phases=phases, deadline=None, database=None)
    settings.load_profile("mutants")
    torch.set_num_threads(1)
    gc.freeze()  # keeps the forks from collecting it


def main() -> None:
    """Runs the mutants and prints, module by module, how many were killed and which were not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", help="by default all")
    parser.add_argument("--most", type=int, default=10, help="mutants a module")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    _import_packages()
    for path in arguments.modules or TESTS:
        source, started = (ROOT / path).read_text(encoding="utf-8"), time.monotonic()
        if not survives(path, source):
            sys.exit(f"{path}: its tests fail without a mutant")
        made = mutants(source, arguments.most, arguments.seed)
        left = [changed for changed in made if survives(path, changed)]
        seconds = time.monotonic() - started
        killed = len(made) - len(left)
        print(f"{path}: {len(made)} mutants, {killed} killed, {seconds:.0f} s", flush=True)
        for changed in left:
            print("   ", "\n    ".join(_difference(source, changed)), flush=True)


if __name__ == "__main__":
    main()
