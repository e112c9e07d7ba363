"""Draws scenes with kept and dropped objects and the strongest edges between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from galr.common.atomic import atomic_path
from galr.common.errors import UserError
from galr.detectors.inspect import strongest_edges
from galr.detectors.scene import Scene


def draw(scenes: Sequence[Scene], out: str | Path, edges: int = 10) -> None:
    """Writes one scene with a list of its objects, or several as a contact sheet."""
    kind = Path(out).suffix.lower().removeprefix(".")
    if kind not in ("png", "jpg", "jpeg", "pdf", "svg"):
        raise UserError(out, "is not a .png file name", "end it with .png")
    figure = _one(scenes[0], edges) if len(scenes) == 1 else _sheet(scenes, edges)
    with atomic_path(out) as temporary:
        figure.savefig(temporary, format=kind, dpi=110)


def _one(scene: Scene, edges: int) -> Figure:
    side = 7.0
    height = side * min(max(scene.picture.height / scene.picture.width, 0.5), 1.6)
    listed = 0.19 * (len(scene.objects) + 5)
    figure = Figure(figsize=(side + 4, max(height, listed + 3) + 0.4), layout="constrained")
    axes = figure.subplot_mosaic(
        [["picture", "list"], ["picture", "adjacency"]],
        width_ratios=[side, 4],
        height_ratios=[listed, max(height - listed, 3)],
    )
    _draw_scene(axes["picture"], scene, edges, font=9)
    axes["list"].set_axis_off()
    axes["list"].text(0, 1, _listed(scene, edges), family="monospace", size=9, va="top")
    _draw_adjacency(axes["adjacency"], scene)
    return figure


def _draw_adjacency(axes: Axes, scene: Scene) -> None:
    kept = len(scene.objects)
    axes.set_title("adjacency of the kept objects" if kept else "no objects", size=9)
    if not kept:
        axes.set_axis_off()
        return
    drawn = axes.imshow(scene.adjacency[:kept, :kept], cmap="magma", vmin=0)
    axes.set_xticks(range(kept))
    axes.set_yticks(range(kept))
    axes.tick_params(labelsize=7, length=0)
    colours = axes.get_figure().colorbar(drawn, ax=axes, shrink=0.8)  # type: ignore[union-attr]
    colours.ax.tick_params(labelsize=7)


def _sheet(scenes: Sequence[Scene], edges: int) -> Figure:
    columns = min(4, math.ceil(math.sqrt(len(scenes))))
    rows = math.ceil(len(scenes) / columns)
    figure = Figure(figsize=(4 * columns, 4.3 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for place in axes:
        place.set_axis_off()
    for place, scene in zip(axes, scenes, strict=False):  # the last row may be shorter
        _draw_scene(place, scene, edges, font=7)
    return figure


def _listed(scene: Scene, edges: int) -> str:
    lines = ["no  class               score  prominence"]
    for number, (entry, label) in enumerate(zip(scene.objects, scene.labels, strict=True)):
        lines.append(f"{number:2d}  {label:18.18s}  {entry.score:.2f}   {entry.prominence:.2f}")
    lines += ["", f"lines: the {edges} strongest edges", "dashed: dropped detections"]
    if scene.dropped is None:
        lines[-1] += " (files unavailable)"
    return "\n".join(lines)


def _draw_scene(axes: Axes, scene: Scene, edges: int, font: int) -> None:
    size = np.array(scene.picture.size)
    axes.imshow(scene.picture, extent=(0, size[0], size[1], 0))
    axes.set(xlim=(0, size[0]), ylim=(size[1], 0))
    axes.set_axis_off()
    axes.set_title(scene.caption, size=font + 1)
    for box in scene.dropped if scene.dropped is not None else ():
        # white on black, since either alone is invisible on some backgrounds
        axes.add_patch(_outline(box, edgecolor="black", linewidth=0.8, alpha=0.5))
        axes.add_patch(
            _outline(box, edgecolor="white", linewidth=0.8, alpha=0.8, linestyle=(0, (3, 3)))
        )
    _draw_edges(axes, scene, edges)
    # the most prominent last, so that it lies on top
    for number in reversed(range(len(scene.objects))):
        entry, label = scene.objects[number], scene.labels[number]
        low, high = ((entry.centre + sign * entry.size / 2) * size for sign in (-1, 1))
        colour = colormaps["tab20"](entry.category % 20)
        box = np.concatenate([low, high])
        axes.add_patch(_outline(box, edgecolor="black", linewidth=2.8 + 2 * entry.prominence))
        axes.add_patch(_outline(box, edgecolor=colour, linewidth=1.4 + 2 * entry.prominence))
        axes.text(
            low[0],
            low[1],
            f"{number} {label} {entry.score:.2f}" if font > 7 else f"{number} {label}",
            size=font - 2,
            color="black" if np.dot(colour[:3], (0.3, 0.6, 0.1)) > 0.5 else "white",
            va="bottom",
            clip_on=True,
            bbox={"facecolor": colour, "edgecolor": "none", "pad": 1.0, "alpha": 0.9},
        )


def _outline(box: NDArray[np.float64], **style: Any) -> Rectangle:  # noqa: ANN401 - of matplotlib
    left, top, right, bottom = box
    return Rectangle((left, top), right - left, bottom - top, fill=False, **style)


def _draw_edges(axes: Axes, scene: Scene, most: int) -> None:
    edges = strongest_edges(scene.adjacency, most)
    for first, second, weight in edges:
        ends = np.array([scene.objects[at].centre * scene.picture.size for at in (first, second)])
        share = weight / edges[0][2]
        for colour, width in (("black", 2.0), ("white", 0.8)):
            axes.plot(
                ends[:, 0],
                ends[:, 1],
                color=colour,
                linewidth=width + 2 * share,
                alpha=0.4 + 0.5 * share,
            )
