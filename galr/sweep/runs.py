"""The runs of a sweep: each an options file with a seed, trained and tested in its own process."""

from __future__ import annotations

import itertools
import json
import logging
import os
import queue
import re
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import IO, Literal, NamedTuple

from galr.common.atomic import check_writable
from galr.common.cluster import on_cluster
from galr.common.errors import UserError
from galr.common.processes import cores
from galr.options import Options, load_options
from galr.sweep.processes import ending_started, run_alone

logger = logging.getLogger(__name__)


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
    def similarities(self) -> Path:
        """Where test.py writes the similarities of each fold, if it is told to."""
        return self.options.experiment_folder / "similarities"

    @property
    def log(self) -> Path:
        """Where the output of both scripts goes."""
        return self.options.experiment_folder / "sweep.log"

    def is_done(self) -> bool:
        """Whether there are results of exactly these options."""
        try:
            content = json.loads(self.results.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return False
        return (
            isinstance(content, dict)
            and content.get("test_options") == self.options.model_dump(mode="json")
            and not content.get("differences")
        )


def plan_runs(
    paths: Sequence[str],
    overrides: Sequence[str],
    seeds: Sequence[int],
    vary: Sequence[str] = (),
) -> dict[str, list[Run]]:
    """The runs of each row, one a seed, by the row's name: an options file and what varies.

    ``vary`` holds ``KEY=VALUE,VALUE``; every combination is a row. Each run has a folder of its
    own, NAME_KEY-VALUE_seedN. Raises UserError where two would write to the same folder, or for
    options that are wrong.
    """
    if seeds and any(varied.startswith("seed=") for varied in vary):
        raise UserError("--vary seed", "stands beside --seeds", "give the seeds by one of them")
    planned: dict[str, list[Run]] = {}
    folders: dict[Path, str] = {}
    for path, changed in itertools.product(paths, _combinations(vary)):
        row, fixed = " ".join((path, *changed)), (*overrides, *changed)
        name = load_options(path, fixed).k_fold.experiment_name
        name += "".join(f"_{_in_a_name(change)}" for change in changed)
        planned[row] = []
        for seed in seeds or (None,):
            ending = "" if seed is None else f"_seed{seed}"
            own = (*fixed, f"k_fold.experiment_name={name}{ending}")
            if seed is not None:
                own += (f"seed={seed}",)
            run = Run(path, own, load_options(path, own))
            folder = run.options.experiment_folder
            if folder in folders:
                raise UserError(
                    row,
                    f"would write to {folder}, as {folders[folder]} does",
                    "name each file, value and seed once, or give it a "
                    "k_fold.experiment_name of its own",
                )
            folders[folder] = row
            planned[row].append(run)
    return planned


def _combinations(vary: Sequence[str]) -> list[tuple[str, ...]]:
    """The overrides of each row: ``A=1,2`` and ``B=[3,4]`` give (A=1, B=[3,4]), (A=2, B=[3,4])."""
    axes: dict[str, list[str]] = {}
    for varied in vary:
        key, equals, text = varied.partition("=")
        values = re.split(r",(?![^\[]*\])", text)  # at commas outside of brackets
        if not equals or not all(values):
            raise UserError(
                f"--vary {varied}", "is not KEY=VALUE,VALUE", "write optim.lr=1e-4,1e-3"
            )
        if key in axes:
            raise UserError(f"--vary {key}", "is given twice", "name all its values at once")
        axes[key] = [f"{key}={value}" for value in values]
    return list(itertools.product(*axes.values()))


def _in_a_name(override: str) -> str:
    """``optim.lr=0.1`` as a part of a folder's name: lr-0.1."""
    key, _, value = override.partition("=")
    return re.sub(r"[^\w.-]", "_", f"{key.rpartition('.')[2]}-{value}")


def execute(
    runs: Sequence[Run],
    jobs: int,
    cards: Sequence[str] = (),
    scripts: Sequence[str] = ("train.py", "test.py"),
    *,
    similarities: bool = False,
    engine: Literal["local", "ray"] = "local",
) -> list[Run]:
    """Trains and tests what is not done yet, ``jobs`` at a time; the runs that failed.

    Each job has its share of the cores and, of ``cards``, the next in turn. With ``similarities``
    the test writes those of each fold to the folder of its run. The engine ``ray`` runs as many at
    a time as the cluster has room for, each with the share of cores that it would have here; a run
    whose machine is lost goes on elsewhere from its last checkpoint.
    """
    if engine == "ray":
        threads = int(os.environ.get("OMP_NUM_THREADS", max(1, cores() // jobs)))
        work = partial(
            _run_scripts, scripts=scripts, jobs=jobs, card=None, similarities=similarities
        )
        done = on_cluster(work, runs, threads=threads, what="the sweep")
        return [run for run, good in zip(runs, done, strict=True) if not good]
    free: queue.Queue[int] = queue.Queue()
    for slot in range(jobs):
        free.put(slot)

    def one(run: Run) -> bool:
        slot = free.get()
        try:
            card = cards[slot % len(cards)] if cards else None
            return _run_scripts(run, scripts, jobs, card, similarities)
        finally:
            free.put(slot)

    with ThreadPoolExecutor(jobs) as pool, ending_started():
        succeeded = list(pool.map(one, runs))
    return [run for run, good in zip(runs, succeeded, strict=True) if not good]


def _run_scripts(
    run: Run,
    scripts: Sequence[str],
    jobs: int,
    card: str | None,
    similarities: bool,
) -> bool:
    saved = not similarities or run.similarities.is_dir()
    if "test.py" in scripts and run.is_done() and saved:
        logger.info("%s: already done", run.name)
        return True
    environment = {"OMP_NUM_THREADS": str(max(1, cores() // jobs)), **os.environ}
    if card is not None:
        environment["CUDA_VISIBLE_DEVICES"] = card
    arguments = ["--path_opt", run.path]
    for override in run.overrides:
        arguments += ["--set", override]
    logger.info("%s: started, log in %s", run.name, run.log)
    check_writable(run.log)
    with run.log.open("a", encoding="utf-8") as log:
        for script in scripts:
            # what a sweep is read by is its table; python -m galr.report makes a page of any run
            more = ["--resume"] if script == "train.py" else ["--no-report"]
            if similarities and script == "test.py":
                more += ["--save-similarity", str(run.similarities)]
            module = f"galr.commands.{Path(script).stem}"
            if _run_module(module, [*arguments, *more], log, environment) != 0:
                logger.error("%s: %s failed: %s", run.name, script, _last_line(run.log))
                return False
    logger.info("%s: done", run.name)
    return True


def _run_module(
    module: str, arguments: Sequence[str], log: IO[str], environment: Mapping[str, str]
) -> int:
    """The exit status of ``python -m module``; its output goes to ``log``."""
    command = [sys.executable, "-m", module, *arguments]
    return run_alone(command, log, environment)


def without(planned: Mapping[str, Sequence[Run]], failed: Sequence[Run]) -> dict[str, list[Run]]:
    """``planned`` without the failed runs, whose folders may hold results of an earlier run."""
    return {row: [run for run in runs if run not in failed] for row, runs in planned.items()}


def _last_line(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError as error:  # such as a folder that was removed meanwhile
        return f"its log cannot be read ({error.strerror})"
    return next((line for line in reversed(lines) if line.strip()), "it wrote nothing")
