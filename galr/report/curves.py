"""How the folds were trained: loss and validation by epoch."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup
from matplotlib.figure import Figure

from galr.report.experiment import FoldRun
from galr.report.files import ReportFiles
from galr.report.page import joined, part, table


def training_curves(files: ReportFiles, folds: Sequence[FoldRun]) -> Markup:
    """Loss and validation mR of all folds, and the best epoch of each."""
    if not any(fold.history for fold in folds):
        return part("note", "There is no log.csv of the folds.")
    columns = list(dict.fromkeys(name for fold in folds for row in fold.history for name in row))
    rows = [
        [fold.index, *(row.get(name, "") for name in columns)]
        for fold in folds
        for row in fold.history
    ]
    figure = files.figure(
        "training_curves",
        _drawn(folds),
        "Training loss and validation recall of each fold; the dot marks the epoch of best.pth.",
        ["fold", *columns],
        rows,
    )
    return joined([figure, _kept(folds)])


def _drawn(folds: Sequence[FoldRun]) -> Figure:
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    loss, recall = figure.subplots(1, 2)
    for fold in folds:
        style = {"color": f"C{fold.index % 10}", "marker": ".", "label": f"fold {fold.index}"}
        for axes, name in ((loss, "loss"), (recall, "mR")):
            points = [(row["epoch"], row[name]) for row in fold.history if name in row]
            axes.plot(*zip(*points, strict=True), **style) if points else None
        if fold.best_row:
            best = fold.best_row
            recall.plot(best["epoch"], best["mR"], "o", color=style["color"], markersize=9)
    loss.set(title="training loss", xlabel="epoch", ylabel="mean loss per pair")
    recall.set(title="validation", xlabel="epoch", ylabel="mR in percent")
    for axes in (loss, recall):
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    return figure


def _kept(folds: Sequence[FoldRun]) -> Markup:
    rows = []
    for fold in folds:
        best, last = fold.best_row, (fold.history or [{}])[-1]
        seconds = last.get("cpu_seconds")
        rows.append(
            [
                f"fold {fold.index}",
                len(fold.history),
                int(best["epoch"]) if best else "unknown",
                best.get("mR", "unknown"),
                "unknown" if seconds is None else f"{seconds / 60:.1f}",
            ]
        )
    header = ["", "epochs trained", "best epoch", "its validation mR", "CPU minutes"]
    return table(header, rows, "Epochs count from 0.")
