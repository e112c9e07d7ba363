"""Objects and edges of DREA on the images: what the local branch is given."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from markupsafe import Markup

from galr.common.errors import UserError
from galr.detectors.inspect import strongest_edges
from galr.detectors.scene import Scene, read_scenes
from galr.detectors.show import draw
from galr.local_features.store import read_store
from galr.options import DatasetOptions
from galr.report.files import ReportFiles
from galr.report.outcome import Outcome
from galr.report.page import joined, part

logger = logging.getLogger(__name__)

EDGES = 10


def object_part(
    files: ReportFiles, outcome: Outcome, images: Sequence[int], options: DatasetOptions
) -> Markup:
    """A figure per image, or a note that says why there are none."""
    why_not = _why_not(outcome, options)
    if why_not:
        return part("note", why_not)
    store = read_store(str(options.local_path))
    names = [outcome.test.annotations.images[image] for image in images]
    try:
        scenes = read_scenes(store, names, str(options.image_folder))
    except UserError as error:
        # the matrices are there, and only their picture is not: the rest of the page stands
        logger.warning("objects and edges are not drawn: %s", error)
        return part("note", f"Objects and edges could not be drawn: {error}")
    about = part(
        "paragraph",
        "The local branch sees no pixels, only the detections that DREA retained (boxes with class "
        "and score) and the weights of the edges between them: thicker lines are stronger edges, "
        "and the matrix on the right shows all of them.",
    )
    return joined([about, *(_shown(files, *one) for one in enumerate(scenes, start=1))])


def _why_not(outcome: Outcome, options: DatasetOptions) -> str | None:
    if not outcome.has_local:
        return "This model has no local branch: it sees no objects."
    if options.local_path in (None, "zeros"):
        return "The local branch was given no objects (dataset.local_path)."
    return None


def _shown(files: ReportFiles, number: int, scene: Scene) -> Markup:
    edges = strongest_edges(scene.adjacency, len(scene.objects) ** 2)
    rows: list[list[object]] = [
        [scene.name, "object", at, "", label, entry.score, *entry.centre, *entry.size]
        for at, (entry, label) in enumerate(zip(scene.objects, scene.labels, strict=True))
    ]
    rows += [[scene.name, "edge", *edge[:2], "", edge[2], "", "", "", ""] for edge in edges]
    header = ["image", "kind", "object", "to", "class", "score_or_weight"]
    return files.picture(
        f"objects_{number}",
        partial(_draw, scene),
        f"Objects and edges of {scene.caption}.",
        [*header, "centre_x", "centre_y", "width", "height"],
        rows,
    )


def _draw(scene: Scene, path: Path) -> None:
    draw([scene], path, EDGES)
