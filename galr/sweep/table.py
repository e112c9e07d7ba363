"""The table of a sweep: means and standard deviations over folds and seeds."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from galr.common.errors import UserError
from galr.monitoring.epoch_log import read_log
from galr.sweep.runs import Run

COLUMNS = ("i2t_r1", "i2t_r5", "i2t_r10", "t2i_r1", "t2i_r5", "t2i_r10", "mR")
TESTED = ("without_rerank", "with_rerank")
VALIDATION = "validation"
REMEDY = "delete it, and run the same command again"
TITLES = {"without_rerank": "test", "with_rerank": "test, reranked", VALIDATION: VALIDATION}


class Row(dict[str, float]):
    """Means and deviations of COLUMNS, as NAME and NAME_std, with how many folds they are of."""


def rows_of(
    planned: Mapping[str, Sequence[Run]], *, validation: bool = False
) -> list[tuple[str, str, Row]]:
    """(name, variant, row) for each row with results; variants without any are left out.

    With ``validation`` the numbers are those of each fold's best epoch on its validation part, and
    the variant is ``validation``. The deviation is the sample's over all folds of all seeds; 0 for
    a single one.
    """
    rows = []
    for name, runs in planned.items():
        for variant in (VALIDATION,) if validation else TESTED:
            found = [metrics for run in runs for metrics in _metrics(run, variant)]
            if found:
                rows.append((name, variant, _row(found)))
    return rows


def _metrics(run: Run, variant: str) -> list[Mapping[str, float]]:
    """The metrics of a run's folds, as far as there are any."""
    if variant != VALIDATION:
        if not run.results.is_file():
            return []
        folds = read_folds(run.results, variant, COLUMNS)
        return [fold[variant] for fold in folds if fold.get(variant)]
    best = []
    for index in range(run.options.k_fold.nums):
        path = run.options.experiment_folder / str(index) / "log.csv"
        epochs = [epoch for epoch in read_log(path) if "mR" in epoch]
        if epochs:
            best.append(max(epochs, key=lambda epoch: epoch["mR"]))
            check_numbers(best[-1], COLUMNS, path)
    return [{name: epoch[name] for name in COLUMNS} for epoch in best]


def read_folds(path: Path, entry: str, names: Sequence[str]) -> list[dict[str, Any]]:
    """The folds of a results.json, whose ``entry`` has the numbers ``names`` or nothing at all.

    Raises UserError for a damaged file.
    """
    try:
        folds: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["folds"]
        found = [fold[entry] for fold in folds if fold.get(entry)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(path, f"is not what test.py writes ({error!r})", REMEDY) from None
    for numbers in found:
        check_numbers(numbers, names, path)
    return folds


def check_numbers(numbers: Any, names: Sequence[str], path: Path) -> None:  # noqa: ANN401 - JSON
    """Raises UserError where one of ``names`` is no number."""
    for name in names:
        if not isinstance(numbers, dict) or type(numbers.get(name)) not in (int, float):
            raise UserError(path, f"has no number {name}", REMEDY)


def _row(found: Sequence[Mapping[str, float]]) -> Row:
    row = Row(folds=len(found))
    for name in COLUMNS:
        values = np.array([metrics[name] for metrics in found])
        row[name] = float(values.mean())
        row[f"{name}_std"] = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return row


def markdown(rows: Sequence[tuple[str, str, Row]]) -> str:
    """The table to read."""
    titles = ["i2t R@1", "R@5", "R@10", "t2i R@1", "R@5", "R@10", "mR"]
    lines = [
        "| options | part | folds | " + " | ".join(titles) + " |",
        "| --- | --- | " + "---: | " * (len(titles) + 1),
    ]
    for path, variant, row in rows:
        cells = [f"{row[name]:.2f} ± {row[name + '_std']:.2f}" for name in COLUMNS]
        lines.append(
            f"| {path} | {TITLES[variant]} | {row['folds']:.0f} | " + " | ".join(cells) + " |"
        )
    return "\n".join(line.rstrip() for line in lines) + "\n"


def comma_separated(rows: Sequence[tuple[str, str, Row]]) -> str:
    """The table to compute with."""
    numbers = ["folds", *(name + end for name in COLUMNS for end in ("", "_std"))]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["options", "variant", *numbers])
    for path, variant, row in rows:
        writer.writerow([path, variant, *(row[name] for name in numbers)])
    return text.getvalue()
