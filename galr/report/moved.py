"""What re-ranking changed: which queries gained and lost, and why, for four of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from galr.evaluation.reranking import method_settings
from galr.metrics.retrieval import RECALLS_AT
from galr.options import RerankOptions
from galr.report.direction import Direction
from galr.report.files import ReportFiles
from galr.report.page import joined, part, table
from galr.report.queries import answer_names, query_names
from postprocessing.explain import Explained, explain
from postprocessing.plots import draw_moves
from postprocessing.rerank import RerankSettings

DRAWN = 10  # candidates of an example, or more where the right one stands behind them
LETTERS = 60  # of a caption in a title


def moved_part(files: ReportFiles, pair: Sequence[Direction], options: RerankOptions) -> Markup:
    """Counts, ranks before and after, and the queries with the greatest gain and loss."""
    if not options.enabled:
        return part("note", "Rerank is off (rerank.enabled).")
    if options.method != "multivariate" or options.bank is not None or options.tune is not None:
        about = f"Candidates are in the order of {options.method} (docs/rerank.md)."
        return joined([part("paragraph", about), _counts(pair), _scatter(files, pair)])
    about = part(
        "paragraph",
        f"Re-ranking reorders the top {options.k} results of each query: a result moves up if the "
        "query ranks high in the opposite direction, among the queries for this result.",
    )
    settings = method_settings(options)
    examples = [example for direction in pair for example in _examples(files, direction, settings)]
    return joined([about, _counts(pair), _scatter(files, pair), *examples])


def _counts(pair: Sequence[Direction]) -> Markup:
    rows: list[list[object]] = []
    for direction in pair:
        before, after = direction.plain_ranks, direction.ranks
        crossed = [
            f"{int(((after <= k) & (before > k)).sum())} in, "
            f"{int(((after > k) & (before <= k)).sum())} out"
            for k in RECALLS_AT
        ]
        moves = [int((after < before).sum()), int((after == before).sum())]
        rows.append([direction.title, *moves, int((after > before).sum()), *crossed])
    header = ["", "better rank", "same rank", "worse rank", *(f"top {k}" for k in RECALLS_AT)]
    return table(header, rows, "Number of queries, by the rank of their first correct result.")


def _scatter(files: ReportFiles, pair: Sequence[Direction]) -> Markup:
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    rows: list[list[object]] = []
    for axes, direction in zip(figure.subplots(1, 2), pair, strict=True):
        before, after = direction.plain_ranks, direction.ranks
        ends, counts = np.unique(np.stack([before, after]), axis=1, return_counts=True)
        colours = np.where(ends[1] < ends[0], "tab:green", "tab:gray")
        colours = np.where(ends[1] > ends[0], "tab:red", colours)
        axes.scatter(*ends, s=12 + 12 * np.sqrt(counts), c=colours, alpha=0.6, linewidths=0)
        last = max(before.max(), after.max(), 2)
        axes.plot((1, last), (1, last), color="black", linewidth=0.8)
        axes.set(xscale="log", yscale="log", title=direction.title)
        axes.set(xlabel="rank before rerank", ylabel="rank after rerank")
        ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if tick <= last]
        axes.set_xticks(ticks, map(str, ticks))
        axes.set_yticks(ticks, map(str, ticks))
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        rows += [
            [direction.name, query, int(was), int(now)]
            for query, (was, now) in enumerate(zip(before, after, strict=True))
        ]
    return files.figure(
        "rerank_moves",
        figure,
        "Rank of the first correct result before and after re-ranking: green dots below the line "
        "are gains, red ones above it losses; larger dots stand for more queries.",
        ["direction", "query", "before", "after"],
        rows,
    )


def _examples(files: ReportFiles, direction: Direction, settings: RerankSettings) -> list[Markup]:
    """Figures of the greatest gain and the greatest loss; fewer where nothing moved."""
    # of logarithms, since from 10 to 1 is more to a reader than from 110 to 90
    gain = np.log(direction.plain_ranks) - np.log(direction.ranks)
    names = answer_names(direction.name, direction.annotations)
    parts = []
    for kind, query in (("gain", int(gain.argmax())), ("loss", int(gain.argmin()))):
        if gain[query] == 0 or (kind == "gain") != (gain[query] > 0):
            continue
        rows = explain(direction.similarity, query, settings)
        right = set(direction.right(query).tolist())
        was, now = int(direction.plain_ranks[query]), int(direction.ranks[query])
        shown = rows[: max(DRAWN, now)]
        asked = query_names(direction.name, direction.annotations)[query]
        asked = asked if len(asked) <= LETTERS else f"{asked[: LETTERS - 1]}…"
        parts.append(
            files.picture(
                f"rerank_{kind}_{direction.name}",
                partial(_draw, shown, names, right, f"query {query}"),
                f"{direction.title.capitalize()}, the greatest {kind}: the query “{asked}” went "
                f"from rank {was} to {now}. Left: how its top results moved (correct ones in "
                "green); right: the terms of their scores.",
                [*Explained._fields, "name", "right"],
                [[*row, names[row.candidate], int(row.candidate in right)] for row in rows],
            )
        )
    return parts


def _draw(
    rows: Sequence[Explained], names: Sequence[str], right: set[int], title: str, path: Path
) -> None:
    draw_moves(path, rows, names, right, title)
