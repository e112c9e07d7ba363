"""Tables, files and the plot of a comparison of re-ranking methods."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from galr.common.atomic import atomic_path, write_json
from postprocessing.comparison import BASELINES, FIRST, Compared, Difference, Hubness
from postprocessing.plots import save_png
from postprocessing.tables import COLUMNS, DIRECTIONS, aligned

Rows = Sequence[Compared]
RECALLS = {key: title for key, title in COLUMNS.items() if title.startswith("R@")}
GROUPS = [(direction, len(RECALLS) // 2) for direction in DIRECTIONS]
AWARE_NOTE = "* images with the query's text, and captions with a correct text, count as correct"


def text(rows: Rows) -> str:
    """All tables of one comparison."""
    parts = [recall_table(rows), difference_table(rows, "mR"), hubness_table(rows)]
    if rows[0].duplicate_aware is not None:
        parts.insert(2, difference_table(rows, "mR*"))
    return "\n\n".join(parts)


def recall_table(rows: Rows) -> str:
    """Recall@k, mR, duplicate-aware mR, seconds, and what each method reads."""
    body = [
        [row.name, *(f"{row.metrics[key]:.2f}" for key in (*RECALLS, "mR")),
         "-" if row.duplicate_aware is None else f"{row.duplicate_aware['mR']:.2f}",
         f"{row.seconds:.3f}", row.reads]
        for row in rows
    ]  # fmt: skip
    header = ["", *RECALLS.values(), "mR", "mR*", "seconds", "reads"]
    return f"{aligned([header, *body], GROUPS)}\n{AWARE_NOTE}"


def difference_table(rows: Rows, metric: str) -> str:
    """Differences of mR or mR* from the baselines, with intervals and p values."""
    body = []
    for row in rows[1:]:
        found = row.against if metric == "mR" else row.aware_against
        body.append([row.name, *(_difference(found.get(name)) for name in BASELINES)])
    return aligned([[f"{metric} gain over", *BASELINES], *body])


def hubness_table(rows: Rows) -> str:
    """Hubness of captions and images, among the first ten of each query."""
    body = [
        [row.name, *(f"{number:.2f}" for own in row.hubness.values() for number in own)]
        for row in rows
    ]
    header = ["hubness", *("skewness", "never %", "top 1 %") * 2]
    return aligned([header, *body], [("captions", 3), ("images", 3)])


def mean_table(runs: Sequence[Rows]) -> str:
    """Means over several comparisons, with standard deviations of mR and of its gain."""
    body = []
    for rows in zip(*runs, strict=True):
        recalls = [f"{_mean_std(rows, _metric(key))['mean']:.2f}" for key in RECALLS]
        spread = [_metric("mR"), _aware_mean_recall, _gain("against"), _gain("aware_against")]
        body.append([rows[0].name, *recalls, *(_spread(rows, value) for value in spread)])
    header = ["", *RECALLS.values(), "mR", "mR*", "mR gain", "mR* gain"]
    return f"{aligned([header, *body], GROUPS)}\n{AWARE_NOTE}"


def write_files(folder: Path, rows: Rows, head: dict[str, Any]) -> None:
    """compare.json, compare.csv and k_occurrences.png."""
    write_json(folder / "compare.json", {**head, "methods": [row.as_json() for row in rows]})
    flat = [_flat(row) for row in rows]
    with (
        atomic_path(folder / "compare.csv") as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, list(flat[-1]))
        writer.writeheader()
        writer.writerows(flat)
    draw_occurrences(folder / "k_occurrences.png", rows)


def mean_json(runs: Sequence[Rows]) -> list[dict[str, Any]]:
    """Means and standard deviations over several comparisons, a dict per method."""
    return [
        {
            "name": rows[0].name,
            "reads": rows[0].reads,
            "metrics": {key: _mean_std(rows, _metric(key)) for key in rows[0].metrics},
            "duplicate_aware_mR": _mean_std(rows, _aware_mean_recall),
            "mR_minus_none": _mean_std(rows, _gain("against")),
            "duplicate_aware_mR_minus_none": _mean_std(rows, _gain("aware_against")),
        }
        for rows in zip(*runs, strict=True)
    ]


def draw_occurrences(path: str | Path, rows: Rows) -> None:
    """Draws how often each candidate is among the first ten, the most frequent first."""
    figure, colours = Figure(figsize=(12, 4.8), layout="constrained"), colormaps["tab20"]
    for number, axes in enumerate(figure.subplots(1, 2)):
        for position, row in enumerate(rows):
            counts = -np.sort(-row.occurrences[number])
            axes.plot(
                100 * np.arange(1, len(counts) + 1) / len(counts), counts,
                label=row.name, linestyle="-" if position % 2 == 0 else "--",
                color="black" if row.name == "none" else colours(position % colours.N),
            )  # fmt: skip
        axes.set_yscale("symlog", linthresh=1)
        axes.set_xscale("log")
        axes.set(
            xlabel="candidates, most frequent first, percent",
            ylabel=f"queries that rank the candidate in their first {FIRST}",
            title=("captions, for image queries", "images, for caption queries")[number],
        )
    figure.legend(
        *figure.axes[0].get_legend_handles_labels(), loc="outside right upper", fontsize=8
    )
    save_png(path, figure)


Value = Callable[[Compared], float | None]


def _metric(key: str) -> Value:
    return lambda row: row.metrics[key]


def _aware_mean_recall(row: Compared) -> float | None:
    return None if row.duplicate_aware is None else row.duplicate_aware["mR"]


def _gain(field: str) -> Value:
    def value(row: Compared) -> float | None:
        found = getattr(row, field).get("none")
        return None if found is None else float(found.value)

    return value


def _mean_std(rows: Rows, value: Value) -> dict[str, float | None]:
    found = [number for row in rows if (number := value(row)) is not None]
    if len(found) < len(rows):
        return {"mean": None, "std": None}
    return {"mean": statistics.fmean(found), "std": statistics.stdev(found)}


def _spread(rows: Rows, value: Value) -> str:
    found = _mean_std(rows, value)
    return "-" if found["mean"] is None else f"{found['mean']:.2f} ± {found['std']:.2f}"


def _difference(found: Difference | None) -> str:
    if found is None:
        return "-"
    return f"{found.value:+.2f} [{found.low:+.2f}, {found.high:+.2f}] p {found.p:.3f}"


def _flat(row: Compared) -> dict[str, object]:
    both = (("mR", row.against), ("duplicate_aware_mR", row.aware_against))
    return {
        "name": row.name,
        "reads": row.reads,
        "parameters": str(row.settings.parameters()),
        **row.metrics,
        "duplicate_aware_mR": "" if row.duplicate_aware is None else row.duplicate_aware["mR"],
        "seconds": row.seconds,
        **{
            f"{direction}_{key}": getattr(own, key)
            for direction, own in row.hubness.items()
            for key in Hubness._fields
        },
        **{
            f"{key}_minus_{name}_{part}": getattr(own[name], part) if name in own else ""
            for key, own in both
            for name in BASELINES
            for part in Difference._fields
        },
    }
