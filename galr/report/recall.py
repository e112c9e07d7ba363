"""The recall table beside the paper's, recall by k, and how the ranks spread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from numpy.typing import NDArray

from galr.evaluation.results import RECALLS
from galr.metrics.retrieval import RECALLS_AT, metrics_of_ranks
from galr.report.chance import chance_curves, chance_recall
from galr.report.files import ReportFiles
from galr.report.outcome import DIRECTIONS, VARIANTS, FoldRanks, Outcome
from galr.report.page import joined, part, table
from galr.report.paper import CITATION, paper_images, paper_numbers

MOST_K = 100
EDGES = (1, 2, 6, 11, 21, 51, 101, 201, 501, 1001)  # first rank of each bin
COLOURS = {"without_rerank": "tab:blue", "with_rerank": "tab:orange"}
BAR_NAMES = (*(f"{d} R@{k}" for d in ("i2t", "t2i") for k in RECALLS_AT), "mR")
HEADER = ["", "i2t R@1", "R@5", "R@10", "t2i R@1", "R@5", "R@10", "mR"]


class Row(NamedTuple):
    """A row of the table: whose numbers, of which fold (or mean, std), in the order of RECALLS."""

    source: str
    part: str
    variant: str
    values: Sequence[float]


def recall_table(files: ReportFiles, outcome: Outcome, dataset: str) -> Markup:
    """Every fold, mean and deviation, the paper's rows and chance; also recall.csv."""
    rows = _rows(outcome, dataset)
    summary = (
        f"mean of {len(outcome.folds)}"
        if len(outcome.folds) > 1
        else f"fold {outcome.folds[0].fold}"
    )
    drawn = [row for row in rows if row.part in (summary, "paper")]
    figure = files.figure(
        "recall",
        _bars(drawn),
        "Recall on the test part"
        + (", beside the paper's." if any(row.source == "paper" for row in rows) else "."),
        ["source", "part", "variant", *RECALLS],
        [[row.source, row.part, row.variant, *row.values] for row in rows],
    )
    classes = [
        "paper" if row.source == "paper" else "strong" if row.part == summary else None
        for row in rows
    ]
    caption = "Recall in percent; i2t: images as queries, t2i: captions as queries."
    written = table(HEADER, [[_title(row), *row.values] for row in rows], caption, classes)
    return joined([written, _note(outcome, dataset), figure])


def _rows(outcome: Outcome, dataset: str) -> list[Row]:
    rows = []
    paper = paper_numbers(dataset)
    for variant in outcome.variants:
        folds = _metrics(outcome.folds, variant)
        for fold, values in zip(outcome.folds, folds, strict=True):
            rows.append(Row("here", f"fold {fold.fold}", variant, values.tolist()))
        if len(folds) > 1:
            mean, std = folds.mean(axis=0), folds.std(axis=0, ddof=1)
            rows.append(Row("here", f"mean of {len(folds)}", variant, mean.tolist()))
            rows.append(Row("here", f"std of {len(folds)}", variant, std.tolist()))
        aware = _metrics(outcome.folds, variant, "duplicate_aware").mean(axis=0)
        part = "same text counts" + (f", mean of {len(folds)}" if len(folds) > 1 else "")
        rows.append(Row("here", part, variant, aware.tolist()))
        if variant in paper:
            rows.append(Row("paper", "paper", variant, paper[variant]))
    own_image = outcome.test.annotations.caption_to_image
    return [*rows, Row("chance", "chance", "", chance_recall(own_image))]


def _metrics(
    folds: Sequence[FoldRanks], variant: str, kind: str = "standard"
) -> NDArray[np.float64]:
    """(folds, 7) in the order of RECALLS."""
    metrics = [metrics_of_ranks(getattr(fold, kind)[variant]) for fold in folds]
    return np.array([[each[name] for name in RECALLS] for each in metrics])


def _title(row: Row) -> str:
    if row.source == "chance":
        return "chance"
    return f"{'THE PAPER’S' if row.source == 'paper' else row.part}, {VARIANTS[row.variant]}"


def _note(outcome: Outcome, dataset: str) -> Markup:
    about = f"No numbers of the paper are known here for the data set {dataset}."
    images, theirs = len(outcome.test.annotations.images), paper_images(dataset)
    if theirs:
        about = f"The paper's numbers are as printed in {CITATION}; they were not measured here."
        if images != theirs:
            about += (
                f" They are for a test part of {theirs:,} images; this one has {images:,}. They "
                "are not comparable, since retrieval among fewer candidates is easier."
            )
    aware = (
        " “Same text counts”: every image with a caption of the query's text is correct, and every "
        "caption of that text. Chance: the expected recall of a random order."
    )
    return part("note", about + aware)


def _bars(rows: Sequence[Row]) -> Figure:
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / max(len(rows), 1)
    for number, row in enumerate(rows):
        places = np.arange(len(row.values)) + (number - (len(rows) - 1) / 2) * width
        of_paper = row.source == "paper"
        axes.bar(
            places,
            row.values,
            width,
            label=_title(row),
            color=COLOURS[row.variant] if not of_paper else "none",
            edgecolor=COLOURS[row.variant],
            hatch="//" if of_paper else None,
        )
    axes.set_xticks(range(len(HEADER) - 1), [*BAR_NAMES])
    axes.set_ylabel("percent")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize=8)
    return figure


def recall_curve(files: ReportFiles, outcome: Outcome) -> Markup:
    """Recall@k over k, mean over the folds, beside chance."""
    own_image = outcome.test.annotations.caption_to_image
    candidates = {"i2t": len(own_image), "t2i": len(outcome.test.annotations.images)}
    chance = chance_curves(own_image, MOST_K)
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    rows: list[list[object]] = []
    for axes, (direction, title) in zip(figure.subplots(1, 2), DIRECTIONS.items(), strict=True):
        ks = np.arange(1, min(MOST_K, candidates[direction]) + 1)
        curves = {
            variant: _recall_at(outcome, direction, variant, ks) for variant in outcome.variants
        }
        for variant, curve in curves.items():
            axes.plot(ks, curve, color=COLOURS[variant], label=VARIANTS[variant])
        curves["chance"] = chance[direction][: len(ks)]
        axes.plot(ks, curves["chance"], color="gray", linestyle="--", label="chance")
        axes.set(title=title, xlabel="answers looked at, k", ylabel="recall in percent")
        axes.set(ylim=(0, 102), xscale="log")
        ticks = [k for k in (1, 2, 5, 10, 20, 50, 100) if k <= len(ks)]
        axes.set_xticks(ticks, [str(k) for k in ticks], minor=False)
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.legend()
        rows += [
            [direction, variant, int(k), float(value)]
            for variant, curve in curves.items()
            for k, value in zip(ks, curve, strict=True)
        ]
    return files.figure(
        "recall_at_k",
        figure,
        "Recall@k: the fraction of queries with a correct result among the top k; higher is better"
        + (f" (mean over {len(outcome.folds)} folds)." if len(outcome.folds) > 1 else "."),
        ["direction", "variant", "k", "recall_percent"],
        rows,
    )


def _recall_at(
    outcome: Outcome, direction: str, variant: str, ks: NDArray[np.int64]
) -> NDArray[np.float64]:
    ranks = _ranks(outcome, direction, variant)  # (folds, Q)
    return np.array([100 * np.mean(ranks <= k) for k in ks])


def _ranks(outcome: Outcome, direction: str, variant: str) -> NDArray[np.int64]:
    """(folds, Q); every fold is asked the same queries."""
    return np.stack(
        [getattr(fold.standard[variant], direction).cpu().numpy() for fold in outcome.folds]
    )


def rank_histogram(files: ReportFiles, outcome: Outcome) -> Markup:
    """Histogram of the rank of the first correct result."""
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    rows: list[list[object]] = []
    for axes, (direction, title) in zip(figure.subplots(1, 2), DIRECTIONS.items(), strict=True):
        last = max(_ranks(outcome, direction, variant).max() for variant in outcome.variants)
        edges = [edge for edge in EDGES if edge <= last]
        labels = [_range(*ends) for ends in zip(edges, [*edges[1:], 0], strict=True)]
        width = 0.8 / len(outcome.variants)
        for number, variant in enumerate(outcome.variants):
            ranks = _ranks(outcome, direction, variant).ravel()
            counts, _ = np.histogram(ranks, [*edges, np.inf])
            share = 100 * counts / len(ranks)
            places = np.arange(len(edges)) + number * width
            axes.bar(places, share, width, color=COLOURS[variant], label=VARIANTS[variant])
            rows += [
                [direction, variant, label, int(count), float(part)]
                for label, count, part in zip(labels, counts, share, strict=True)
            ]
        middle = np.arange(len(edges)) + (len(outcome.variants) - 1) * width / 2
        axes.set_xticks(middle, labels, rotation=45, ha="right", fontsize=8)
        axes.set(
            title=title, xlabel="rank of the first correct result", ylabel="percent of queries"
        )
        axes.grid(axis="y", alpha=0.3)
        axes.legend()
    return files.figure(
        "rank_histogram",
        figure,
        "Rank of the first correct result: the more queries on the left, the better"
        + (" (all folds together)." if len(outcome.folds) > 1 else "."),
        ["direction", "variant", "ranks", "queries", "percent"],
        rows,
    )


def _range(first: int, following: int) -> str:
    if not following:
        return f"{first}+"
    return str(first) if following == first + 1 else f"{first}–{following - 1}"
