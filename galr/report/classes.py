"""Recall by class, as image names give it, and which classes are confused."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from numpy.typing import NDArray

from galr.metrics.retrieval import RECALLS_AT
from galr.report.direction import Direction
from galr.report.files import ReportFiles
from galr.report.page import joined, part, table

CLASS = re.compile(r"(?P<name>.*[^\W\d_].*?)[-_ ]*\d+")  # of a name without extension
MOST_SHOWN = 40  # classes in a figure
MOST_PAIRS = 12  # rows of the table of confusions


@dataclass(frozen=True)
class Classes:
    """The classes of the test images; ``of_image`` (I,) is -1 where a name carries none."""

    names: list[str]
    of_image: NDArray[np.int64]

    def of_queries(self, direction: Direction) -> NDArray[np.int64]:
        """(Q,)."""
        if direction.name == "i2t":
            return self.of_image
        return self.of_image[direction.annotations.caption_to_image]

    def of_candidates(self, direction: Direction) -> NDArray[np.int64]:
        """(C,)."""
        if direction.name == "t2i":
            return self.of_image
        return self.of_image[direction.annotations.caption_to_image]


def class_of(name: str) -> str | None:
    """`airport` of `airport_12.jpg`, as in RSICD and RSITMD; None of `12.jpg`."""
    stem = name.replace("\\", "/").rsplit("/", 1)[-1].rsplit(".", 1)[0]
    found = CLASS.fullmatch(stem)
    return found["name"] if found else None


def read_classes(images: Sequence[str]) -> Classes | None:
    """The classes that names carry; None unless there are two of several images between them."""
    named = [class_of(image) for image in images]
    names = sorted({name for name in named if name is not None})
    carried = sum(name is not None for name in named)
    if len(names) < 2 or carried == len(names):
        return None
    number = {name: index for index, name in enumerate(names)}
    return Classes(names, np.array([-1 if name is None else number[name] for name in named]))


def class_part(files: ReportFiles, classes: Classes | None, pair: Sequence[Direction]) -> Markup:
    """Both figures and tables, or a note that says why there are none."""
    if classes is None:
        return part(
            "note", "The names of the test images carry no classes (as airport_12.jpg does)."
        )
    unnamed = int((classes.of_image < 0).sum())
    about = f"The names of the test images carry {len(classes.names)} classes."
    if unnamed:
        about += f" {unnamed} images carry none and are left out here."
    parts = [part("paragraph", about), _recall(files, classes, pair)]
    parts.append(part("heading", "Confused classes"))
    parts += [_confusion(files, classes, direction) for direction in pair]
    return joined(parts)


def _recall(files: ReportFiles, classes: Classes, pair: Sequence[Direction]) -> Markup:
    rows: list[list[object]] = []
    for number, name in enumerate(classes.names):
        images = int((classes.of_image == number).sum())
        recalls = []
        for direction in pair:
            ranks = direction.ranks[classes.of_queries(direction) == number]
            recalls += [float(100 * np.mean(ranks <= k)) for k in RECALLS_AT]
        rows.append([name, images, *recalls, float(np.mean(recalls))])
    rows.sort(key=lambda row: (-float(str(row[-1])), str(row[0])))
    ks = [f"R@{k}" for k in RECALLS_AT]
    header = ["class", "images", *(f"{each.name} {k}" for each in pair for k in ks), "mR"]
    figure = files.figure(
        "class_recall",
        _bars(rows[-MOST_SHOWN:]),
        "Mean recall (mR) of each class, in descending order."
        + (f" The {MOST_SHOWN} lowest of {len(rows)}." if len(rows) > MOST_SHOWN else ""),
        header,
        rows,
    )
    full = table(header, rows, "Recall in percent for the queries of each class.")
    return joined([figure, part("details", "Recall by class", full)])


def _bars(rows: Sequence[Sequence[object]]) -> Figure:
    figure = Figure(figsize=(9, 1.2 + 0.24 * len(rows)), layout="constrained")
    axes = figure.subplots()
    names = [f"{row[0]} ({row[1]})" for row in rows]
    values = [float(str(row[-1])) for row in rows]
    axes.barh(range(len(rows)), values, color="tab:blue")
    axes.set_yticks(range(len(rows)), names, fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel("mR in percent; in brackets the number of images")
    axes.grid(axis="x", alpha=0.3)
    return figure


def _confusion(files: ReportFiles, classes: Classes, direction: Direction) -> Markup:
    asked = classes.of_queries(direction)
    given = classes.of_candidates(direction)[direction.first_answers]
    both = (asked >= 0) & (given >= 0)
    counts = np.zeros((len(classes.names),) * 2, dtype=np.int64)
    np.add.at(counts, (asked[both], given[both]), 1)
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-(wrong.sum(axis=0) + wrong.sum(axis=1)), kind="stable")[:MOST_SHOWN]
    order = np.sort(order)
    names = [classes.names[at] for at in order]
    query = "images" if direction.name == "i2t" else "captions"
    figure = files.figure(
        f"confusion_{direction.name}",
        _heat_map(counts[np.ix_(order, order)], names, query),
        f"{direction.title.capitalize()}: for the {query} of each class (row), the class of the "
        "top result (column). A perfect model has all on the diagonal."
        + (f" The {MOST_SHOWN} most confused classes." if len(order) < len(classes.names) else ""),
        ["query \\ top result", *classes.names],
        [[name, *row.tolist()] for name, row in zip(classes.names, counts, strict=True)],
    )
    total = counts.sum(axis=1)
    pairs = np.dstack(np.unravel_index(np.argsort(-wrong, axis=None, kind="stable"), wrong.shape))
    rows = [
        [classes.names[row], classes.names[column], int(wrong[row, column]), int(total[row])]
        for row, column in pairs[0][:MOST_PAIRS]
        if wrong[row, column]
    ]
    if not rows:
        return joined([figure, part("paragraph", "All top results are of the query's class.")])
    header = ["query", "top result", "count", f"of {query}"]
    return joined(
        [figure, table(header, rows, f"{direction.title.capitalize()}: most confused classes.")]
    )


def _heat_map(counts: NDArray[np.int64], names: Sequence[str], query: str) -> Figure:
    side = 2.5 + 0.26 * len(names)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    share = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    drawn = axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = "white" if share[row, column] > 55 else "black"
            axes.text(column, row, str(count), ha="center", va="center", fontsize=6, color=colour)
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set(xlabel="class of the top result", ylabel=f"class of the {query}")
    figure.colorbar(drawn, label="percent of the row", shrink=0.7)
    return figure
