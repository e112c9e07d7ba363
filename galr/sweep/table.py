"""The joined table of a sweep: a row an options file, mean and deviation over folds and seeds."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence

import numpy as np

from galr.sweep.runs import Run

COLUMNS = ("i2t_r1", "i2t_r5", "i2t_r10", "t2i_r1", "t2i_r5", "t2i_r10", "mR")
VARIANTS = ("without_rerank", "with_rerank")


class Row(dict[str, float]):
    """Means and deviations of COLUMNS, as NAME and NAME_std, with how many folds they are of."""


def rows_of(planned: Mapping[str, Sequence[Run]]) -> list[tuple[str, str, Row]]:
    """(options file, variant, row) for each file with results; variants without any are left out.

    The deviation is the sample's over all folds of all seeds; 0 for a single one.
    """
    rows = []
    for path, runs in planned.items():
        folds = [
            fold
            for run in runs
            if run.results.is_file()
            for fold in json.loads(run.results.read_text(encoding="utf-8"))["folds"]
        ]
        for variant in VARIANTS:
            found = [fold[variant] for fold in folds if fold.get(variant)]
            if not found:
                continue
            row = Row(folds=len(found))
            for name in COLUMNS:
                values = np.array([metrics[name] for metrics in found])
                row[name] = float(values.mean())
                row[f"{name}_std"] = float(values.std(ddof=1)) if len(values) > 1 else 0.0
            rows.append((path, variant, row))
    return rows


def markdown(rows: Sequence[tuple[str, str, Row]]) -> str:
    """The table to read."""
    titles = ["i2t R@1", "R@5", "R@10", "t2i R@1", "R@5", "R@10", "mR"]
    lines = [
        "| options | rerank | folds | " + " | ".join(titles) + " |",
        "| --- | --- | " + "---: | " * (len(titles) + 1),
    ]
    for path, variant, row in rows:
        cells = [f"{row[name]:.2f} ± {row[name + '_std']:.2f}" for name in COLUMNS]
        rerank = "with" if variant == "with_rerank" else "without"
        lines.append(f"| {path} | {rerank} | {row['folds']:.0f} | " + " | ".join(cells) + " |")
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
