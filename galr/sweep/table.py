"""The table of a sweep: means and standard deviations over folds and seeds."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence

import numpy as np

from galr.sweep.runs import Run

COLUMNS = ("i2t_r1", "i2t_r5", "i2t_r10", "t2i_r1", "t2i_r5", "t2i_r10", "mR")
TESTED = ("without_rerank", "with_rerank")
VALIDATION = "validation"
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
        folds = json.loads(run.results.read_text(encoding="utf-8"))["folds"]
        return [fold[variant] for fold in folds if fold.get(variant)]
    best = []
    for index in range(run.options.k_fold.nums):
        path = run.options.experiment_folder / str(index) / "log.csv"
        if path.is_file():
            with path.open(encoding="utf-8", newline="") as file:
                epochs = [epoch for epoch in csv.DictReader(file) if epoch.get("mR")]
            best += sorted(epochs, key=lambda epoch: float(epoch["mR"]))[-1:]
    return [{name: float(epoch[name]) for name in COLUMNS} for epoch in best]


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
