"""The folds of an experiment on the machines of a cluster, each in a process of its own."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from galr.common.atomic import check_writable
from galr.common.cluster import on_cluster
from galr.common.device import choose_device
from galr.common.errors import RunError
from galr.common.processes import cores, with_parent
from galr.options import Options
from galr.training.data import read_training_data

logger = logging.getLogger(__name__)


def train_folds(options: Options, path: str, overrides: Sequence[str]) -> None:
    """Trains the folds by ``train.py --fold N --resume`` on a Ray cluster.

    The log of each is FOLD.log in the folder of the experiment. A fold whose machine is lost goes
    on elsewhere from its last checkpoint. With the same number of threads (``OMP_NUM_THREADS``, or
    the cores of this machine) the weights are those of the folds trained one after the other.
    Raises UserError where ray is missing or data are wrong, and RunError where a fold fails.
    """
    # caches are made, and what is wrong is told, before many processes would do so
    read_training_data(options, choose_device(options.device))
    threads = int(os.environ.get("OMP_NUM_THREADS", cores()))
    folds = range(options.k_fold.nums)
    arguments = ["--path_opt", path, *(part for each in overrides for part in ("--set", each))]
    work = partial(_train, arguments=arguments, folder=options.experiment_folder)
    failed = [fold for fold, good in zip(folds, on_cluster(work, folds, threads=threads,
              what=options.k_fold.experiment_name), strict=True) if not good]  # fmt: skip
    if failed:
        raise RunError(
            options.experiment_folder / f"{failed[0]}.log",
            f"{len(failed)} of {len(folds)} folds failed",
            "mend what the logs say and run this again with --resume",
        )


def _train(fold: int, *, arguments: Sequence[str], folder: Path) -> bool:
    path = folder / f"{fold}.log"
    check_writable(path)
    command = [sys.executable, "-m", "galr.commands.train", *arguments, "--resume",
               "--fold", str(fold)]  # fmt: skip
    with path.open("a", encoding="utf-8") as log:
        done = subprocess.run(command, stdout=log, stderr=log, check=False, env=with_parent())
    return done.returncode == 0
