"""How the similarities of true and of false pairs spread."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from numpy.typing import NDArray

from galr.report.files import ReportFiles
from galr.report.outcome import Outcome
from galr.report.page import joined, table

BINS = 60


def similarity_distribution(files: ReportFiles, outcome: Outcome) -> Markup:
    """Two histograms: captions with their own image, and with all other images."""
    similarity = outcome.shown.similarity.numpy()  # (I, C)
    own_image = outcome.test.annotations.caption_to_image
    true = similarity[own_image, np.arange(len(own_image))]
    edges = np.histogram_bin_edges(np.array([similarity.min(), similarity.max()]), BINS)
    counts = {"true": np.histogram(true, edges)[0]}
    # image by image, since numpy makes float64 copies of what it sorts into bins
    every = sum(np.histogram(row, edges)[0] for row in similarity)
    counts["false"] = every - counts["true"]
    figure = files.figure(
        "similarities",
        _drawn(edges, counts),
        "Cosine similarity of captions with their own image (true pairs) and with all other images "
        "(false pairs), each as a fraction of its kind: the less the two overlap, the easier "
        "retrieval is.",
        ["from", "to", "true_pairs", "false_pairs"],
        zip(edges[:-1], edges[1:], counts["true"], counts["false"], strict=True),
    )
    return joined([figure, _summary(edges, true, counts)])


def _drawn(edges: NDArray[np.floating], counts: dict[str, NDArray[np.int64]]) -> Figure:
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    axes = figure.subplots()
    for kind, colour in (("false", "tab:gray"), ("true", "tab:green")):
        total = int(counts[kind].sum())
        share = 100 * counts[kind] / max(total, 1)
        axes.stairs(
            share, edges, fill=True, alpha=0.55, color=colour, label=f"{kind} pairs ({total:,})"
        )
    axes.set(xlabel="cosine similarity", ylabel="percent of the pairs of a kind")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def _summary(
    edges: NDArray[np.floating],
    true: NDArray[np.floating],
    counts: dict[str, NDArray[np.int64]],
) -> Markup:
    middle = (edges[:-1] + edges[1:]) / 2
    false = counts["false"]
    if not false.sum():
        return Markup("")
    reached = np.cumsum(false) / false.sum()
    limits = [float(middle[np.searchsorted(reached, share)]) for share in (0.05, 0.5, 0.95)]
    mean = float((middle * false).sum() / false.sum())
    rows = [
        ["true pairs", float(true.mean()), *map(float, np.quantile(true, (0.05, 0.5, 0.95)))],
        ["false pairs", mean, *limits],
    ]
    header = ["", "mean", "5th percentile", "median", "95th percentile"]
    return table(
        header,
        rows,
        f"For false pairs, accurate to the width of a bar ({edges[1] - edges[0]:.3f}).",
    )
