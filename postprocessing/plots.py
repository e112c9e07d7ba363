"""Plots of re-ranking: how candidates moved, and the heat map of a sweep."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from galr.common.atomic import atomic_path

if TYPE_CHECKING:
    from postprocessing.explain import Explained

CORRECT, WRONG = "tab:green", "tab:gray"
TERMS = {"saliency": "tab:orange", "rank": "tab:blue", "reverse": "tab:purple"}
LABEL_LENGTH = 45  # characters of a number and name


def draw_moves(
    path: str | Path,
    rows: Sequence[Explained],
    names: Sequence[str],
    correct: set[int],
    title: str,
) -> None:
    """Draws candidates before and after re-ranking, joined by lines, beside the terms of each."""
    figure = Figure(figsize=(12, 1.2 + 0.36 * len(rows)), layout="constrained")
    moves, bars = figure.subplots(1, 2, width_ratios=(1, 2))
    for row in rows:
        colour = CORRECT if row.candidate in correct else WRONG
        moves.plot((0, 1), (row.was, row.now), color=colour, marker="o", linewidth=2)
    furthest = max((row.was for row in rows), default=1)
    moves.set(xticks=(0, 1), xticklabels=("before", "after"), ylabel="rank", xlim=(-0.2, 1.2))
    moves.set_ylim(furthest + 0.5, 0.5)
    moves.yaxis.get_major_locator().set_params(integer=True)
    moves.set_title(f"{title}, correct answers green")
    ranks = [row.now for row in rows]
    start = np.zeros(len(rows))
    for term, colour in TERMS.items():
        widths = np.array([getattr(row, term) for row in rows])
        # negative terms extend to the left of zero
        bars.barh(ranks, widths, left=np.where(widths < 0, 0, start), color=colour, label=term)
        start = start + widths.clip(min=0)
    labels = [f"{row.candidate} {names[row.candidate] if names else ''}" for row in rows]
    bars.set_yticks(
        ranks, [textwrap.shorten(each, LABEL_LENGTH, placeholder="…") for each in labels]
    )
    for label, row in zip(bars.get_yticklabels(), rows, strict=True):
        label.set_color(CORRECT if row.candidate in correct else "black")
    bars.invert_yaxis()
    bars.set_xlabel("score")
    bars.axvline(0, color="black", linewidth=0.8)
    figure.legend(loc="outside lower right", ncols=3)
    bars.set_title("weighted terms, in the order after re-ranking")
    save_png(path, figure)


def draw_heat_map(
    path: str | Path,
    values: NDArray[np.floating],
    rows: tuple[str, Sequence[float]],
    columns: tuple[str, Sequence[float]],
    chosen: tuple[int, int],
    title: str,
) -> None:
    """Draws ``values`` (rows, columns) as a heat map with numbers, ``chosen`` framed."""
    figure = Figure(
        figsize=(2.5 + 0.8 * len(columns[1]), 2 + 0.5 * len(rows[1])), layout="constrained"
    )
    axes = figure.subplots()
    image = axes.imshow(values, aspect="auto", cmap="viridis")
    middle = (values.min() + values.max()) / 2
    for (row, column), value in np.ndenumerate(values):
        colour = "white" if value < middle else "black"
        weight = "bold" if (row, column) == chosen else "normal"
        axes.text(
            column, row, f"{value:.2f}", ha="center", va="center", color=colour, weight=weight
        )
    axes.add_patch(
        Rectangle(
            (chosen[1] - 0.5, chosen[0] - 0.5), 1, 1, fill=False, edgecolor="red", linewidth=2
        )
    )
    axes.set_yticks(range(len(rows[1])), [f"{value:g}" for value in rows[1]])
    axes.set_xticks(range(len(columns[1])), [f"{value:g}" for value in columns[1]])
    axes.set(ylabel=rows[0], xlabel=columns[0], title=title)
    figure.colorbar(image, label="mR on validation, percent")
    save_png(path, figure)


def save_png(path: str | Path, figure: Figure) -> None:
    """Writes ``figure`` as a PNG, atomically."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
