"""The cost of each row of a sweep, and its difference from a baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from galr.common.errors import UserError
from galr.metrics.retrieval import Ranks, retrieval_ranks
from galr.monitoring.epoch_log import read_log
from galr.sweep.runs import Run
from galr.sweep.table import REMEDY, check_numbers, read_folds
from postprocessing.comparison import Difference, PairedBootstrap
from postprocessing.files import read_part, saved_folds

COSTS = ("parameters", "image_ms", "caption_ms", "search_ms")


class _Tested(NamedTuple):
    """Ranks of every fold, and the queries that they are of."""

    ranks: list[Ranks]
    caption_to_image: np.ndarray
    images: int


def cost_table(planned: Mapping[str, Sequence[Run]], baseline: str) -> str:
    """Parameters, CPU seconds of training a fold, milliseconds of a search, difference in mR."""
    reference = _tested(planned[baseline])
    lines = [
        "| options | folds | million parameters | training s | image ms | caption ms | search ms "
        f"| mR minus that of {baseline}, 95 % interval, p |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for name, runs in planned.items():
        if not runs:
            continue
        of_runs = [(run, fold) for run in runs for fold in _folds(run)]
        folds = [fold for _, fold in of_runs]
        parameters, *times = (np.mean([fold["cost"][key] for fold in folds]) for key in COSTS)
        seconds = np.mean([_seconds(run, fold["fold"]) for run, fold in of_runs])
        told = "-" if name == baseline else _told(_difference(_tested(runs), reference))
        cells = [
            str(len(folds)),
            f"{parameters / 1e6:.2f}",
            f"{seconds:.0f}",
            *(f"{time:.3f}" for time in times),
        ]
        lines.append(f"| {name} | " + " | ".join([*cells, told]) + " |")
    lines += ["", "Times are of this machine: encoding one image or caption, comparing one caption "
              "with all test images. The interval: a paired bootstrap over test images with their "
              "captions; it does not cover another training."]  # fmt: skip
    return "\n".join(lines) + "\n"


def _tested(runs: Sequence[Run]) -> _Tested:
    parts = [
        read_part(path) for run in runs for path in saved_folds(run.similarities, "test").values()
    ]
    ranks = [retrieval_ranks(part.similarity, part.caption_to_image) for part in parts]
    return _Tested(ranks, parts[0].caption_to_image, len(parts[0].similarity))


def _difference(tested: _Tested, reference: _Tested) -> Difference:
    bootstrap = PairedBootstrap(tested.caption_to_image, tested.images)
    return bootstrap.mean_difference(tested.ranks, reference.ranks)


def _told(difference: Difference) -> str:
    value, low, high, p = difference
    return f"{value:+.2f} [{low:+.2f}, {high:+.2f}], p {p:.3f}"


def _folds(run: Run) -> list[dict[str, Any]]:
    folds = read_folds(run.results, "cost", COSTS)
    if not all(fold.get("cost") and "fold" in fold for fold in folds):
        raise UserError(run.results, "has no costs of the folds", REMEDY)
    return folds


def _seconds(run: Run, fold: object) -> float:
    """CPU seconds of the training of a fold, the last row of its log."""
    path = run.options.experiment_folder / str(fold) / "log.csv"
    rows = read_log(path)
    check_numbers(rows[-1] if rows else None, ["cpu_seconds"], path)
    return rows[-1]["cpu_seconds"]
