"""The tables and the picture of a comparison of re-ranking methods."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from galr.common.atomic import atomic_path
from postprocessing.bootstrap import Difference
from postprocessing.comparison import BASELINES, Compared
from postprocessing.hubness import FIRST
from postprocessing.pictures import save_png

RECALLS = ("i2t_r1", "i2t_r5", "i2t_r10", "t2i_r1", "t2i_r5", "t2i_r10", "mR")
HUBNESS = ("skewness", "never", "top")


def recall_lines(rows: Sequence[Compared]) -> list[str]:
    """Recalls, mR, mR where the same text counts, seconds, and what each method reads."""
    width = _width(rows)
    lines = [
        f"{'':{width}}{'image to text':^21}{'text to image':^21}",
        f"{'':{width}}" + "".join(f"{name:>7}" for name in ("R@1", "R@5", "R@10") * 2)
        + f"{'mR':>8}{'mR*':>8}{'seconds':>9}  reads",
    ]  # fmt: skip
    for row in rows:
        aware = "–" if row.duplicate_aware is None else f"{row.duplicate_aware['mR']:.2f}"
        lines.append(
            f"{row.name:{width}}" + "".join(f"{row.metrics[key]:7.2f}" for key in RECALLS[:-1])
            + f"{row.metrics['mR']:8.2f}{aware:>8}{row.seconds:9.3f}  {row.reads}"
        )  # fmt: skip
    lines.append("* any image that carries the query's text, or any caption of that text, is right")
    return lines


def difference_lines(rows: Sequence[Compared]) -> list[str]:
    """Differences of mR, and of mR*, to the baselines, with intervals and p values."""
    lines = _differences("mR minus that of", rows, [row.against for row in rows])
    aware = [row.aware_against for row in rows]
    if not any(aware):
        return lines
    return [*lines, "", *_differences("mR* minus that of", rows, aware)]


def hubness_lines(rows: Sequence[Compared]) -> list[str]:
    """Hubness of captions and images among the first ten."""
    width = _width(rows)
    lines = [
        f"{'hubness':{width}}{'captions':^27}{'images':^27}",
        f"{'':{width}}" + f"{'skewness':>9}{'never %':>9}{'top 1 %':>9}" * 2,
    ]
    for row in rows:
        numbers = [getattr(own, key) for own in row.hubness.values() for key in HUBNESS]
        lines.append(f"{row.name:{width}}" + "".join(f"{number:9.2f}" for number in numbers))
    return lines


def write_csv(path: str | Path, rows: Sequence[Compared]) -> None:
    """A row a method, with all numbers of the tables."""
    with (
        atomic_path(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, list(_flat(rows[-1])))
        writer.writeheader()
        writer.writerows(_flat(row) for row in rows)


def draw_occurrences(path: str | Path, rows: Sequence[Compared]) -> None:
    """Draws how often each candidate is among the first ten, candidates by falling frequency."""
    figure, colours = Figure(figsize=(12, 4.8), layout="constrained"), colormaps["tab20"]
    for number, axes in enumerate(figure.subplots(1, 2)):
        for place, row in enumerate(rows):
            counts = -np.sort(-row.occurrences[number])
            axes.plot(
                100 * np.arange(1, len(counts) + 1) / len(counts), counts,
                label=row.name, linestyle="-" if place % 2 == 0 else "--",
                color="black" if row.name == "none" else colours(place % colours.N),
            )  # fmt: skip
        axes.set_yscale("symlog", linthresh=1)
        axes.set_xscale("log")
        title = ("captions, asked by images", "images, asked by captions")[number]
        axes.set(
            xlabel="candidates, most frequent first, percent",
            ylabel=f"queries that have it among their first {FIRST}",
            title=title,
        )
    figure.legend(
        *figure.axes[0].get_legend_handles_labels(), loc="outside right upper", fontsize=8
    )
    save_png(path, figure)


def _flat(row: Compared) -> dict[str, object]:
    return {
        "name": row.name,
        "reads": row.reads,
        "parameters": str(row.settings.parameters()),
        **row.metrics,
        "duplicate_aware_mR": "" if row.duplicate_aware is None else row.duplicate_aware["mR"],
        "seconds": row.seconds,
        **{
            f"{direction}_{key}": value
            for direction, own in row.hubness.items()
            for key, value in own._asdict().items()
        },
        **{
            f"{key}_minus_{name}_{part}": getattr(own[name], part) if name in own else ""
            for key, own in (("mR", row.against), ("duplicate_aware_mR", row.aware_against))
            for name in BASELINES
            for part in Difference._fields
        },
    }  # fmt: skip


def _differences(
    title: str, rows: Sequence[Compared], against: Sequence[dict[str, Difference]]
) -> list[str]:
    width = _width(rows)
    lines = [f"{title:{width}}" + "".join(f"{name:^34}" for name in BASELINES).rstrip()]
    for row, own in zip(rows[1:], against[1:], strict=True):
        cells = [_difference(own.get(name)) for name in BASELINES]
        lines.append(f"{row.name:{width}}" + "".join(f"{cell:^34}" for cell in cells).rstrip())
    return lines


def _difference(found: Difference | None) -> str:
    if found is None:
        return "–"
    return f"{found.value:+.2f} [{found.low:+.2f}, {found.high:+.2f}] p {found.p:.3f}"


def _width(rows: Sequence[Compared]) -> int:
    return max(len("mR* minus that of"), *(len(row.name) for row in rows)) + 2
