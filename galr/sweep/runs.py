"""The runs of a sweep: each an options file with a seed, trained and tested in its own process."""

from __future__ import annotations

import json
import logging
import os
import queue
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from galr.data.processes import cores
from galr.errors import UserError
from galr.options import Options, load_options

logger = logging.getLogger(__name__)

SCRIPTS = Path(__file__).resolve().parents[2]


class Run(NamedTuple):
    """An options file with its overrides, and the seed among them."""

    path: str
    overrides: tuple[str, ...]
    options: Options

    @property
    def name(self) -> str:
        """The experiment's name, by which its folder is called."""
        return self.options.k_fold.experiment_name

    @property
    def results(self) -> Path:
        """Where test.py writes the results."""
        return self.options.experiment_folder / "results.json"

    @property
    def log(self) -> Path:
        """Where the output of both scripts goes."""
        return self.options.experiment_folder / "sweep.log"

    def is_done(self) -> bool:
        """Whether there are results of exactly these options."""
        try:
            content = json.loads(self.results.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        stored: dict[str, Any] = content.get("options", {})
        return stored == self.options.model_dump(mode="json")


def plan_runs(
    paths: Sequence[str], overrides: Sequence[str], seeds: Sequence[int]
) -> dict[str, list[Run]]:
    """The runs of each options file, one a seed, by the file's path.

    With several seeds each has a folder of its own, NAME_seedN. Raises UserError where two files
    would write to the same folder, or for options that are wrong.
    """
    planned: dict[str, list[Run]] = {}
    folders: dict[Path, str] = {}
    for path in paths:
        name = load_options(path, overrides).k_fold.experiment_name
        planned[path] = []
        chosen: Sequence[int | None] = seeds or [None]
        for seed in chosen:
            changes = list(overrides)
            if seed is not None:
                changes += [f"seed={seed}", f"k_fold.experiment_name={name}_seed{seed}"]
            run = Run(path, tuple(changes), load_options(path, changes))
            folder = run.options.experiment_folder
            if folder in folders:
                raise UserError(
                    path,
                    f"would write to {folder}, as {folders[folder]} does",
                    "give it a k_fold.experiment_name of its own",
                )
            folders[folder] = path
            planned[path].append(run)
    return planned


def execute(runs: Sequence[Run], jobs: int, cards: Sequence[str] = ()) -> list[Run]:
    """Trains and tests what is not done yet, ``jobs`` at a time; the runs that failed.

    Each job has its share of the cores and, of ``cards``, the next in turn.
    """
    free: queue.Queue[int] = queue.Queue()
    for slot in range(jobs):
        free.put(slot)

    def one(run: Run) -> bool:
        slot = free.get()
        try:
            return _train_and_test(run, jobs, cards[slot % len(cards)] if cards else None)
        finally:
            free.put(slot)

    with ThreadPoolExecutor(jobs) as pool:
        succeeded = list(pool.map(one, runs))
    return [run for run, good in zip(runs, succeeded, strict=True) if not good]


def _train_and_test(run: Run, jobs: int, card: str | None) -> bool:
    if run.is_done():
        logger.info("%s: done before", run.name)
        return True
    environment = {"OMP_NUM_THREADS": str(max(1, cores() // jobs)), **os.environ}
    if card is not None:
        environment["CUDA_VISIBLE_DEVICES"] = card
    arguments = ["--path_opt", run.path]
    for override in run.overrides:
        arguments += ["--set", override]
    logger.info("%s: begins, log in %s", run.name, run.log)
    run.log.parent.mkdir(parents=True, exist_ok=True)
    with run.log.open("a", encoding="utf-8") as log:
        for script, more in (("train.py", ["--resume"]), ("test.py", [])):
            command = [sys.executable, str(SCRIPTS / script), *arguments, *more]
            done = subprocess.run(command, stdout=log, stderr=log, env=environment, check=False)
            if done.returncode != 0:
                logger.error("%s: %s failed: %s", run.name, script, _last_line(run.log))
                return False
    logger.info("%s: done", run.name)
    return True


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), "it wrote nothing")
