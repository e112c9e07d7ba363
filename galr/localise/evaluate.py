"""Localisation on annotated scenes: a row of measures per query, means and standard deviations."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from galr.common.atomic import atomic_path, write_json, write_text
from galr.common.errors import UserError
from galr.images.folder import found_names
from galr.localise.encode import forget_windows
from galr.localise.localisation import QueryMap, localise
from galr.localise.output import draw_overlay
from galr.localise.settings import WindowSettings
from galr.metrics.localisation import LocalisationMetrics, localisation_metrics
from galr.scenes.scene import Scene
from galr.trained_model import TrainedModel

FORMAT = '[{"jpg_name": ..., "caption": ..., "points": [[[x, y], ...], ...]}, ...]'


def evaluate_annotations(
    annotations: Path,
    images: Path,
    encoder: TrainedModel,
    model_digest: str,
    folder: Path,
    settings: WindowSettings,
    bands: Sequence[int] | None = None,
    stretch: tuple[float, float] | None = None,
    *,
    chance: bool = False,
) -> dict[str, Any]:
    """Localises every caption in its scene, and compares with its polygons.

    Each scene is encoded once for all its captions. ``chance`` also measures each map against the
    polygons of the scene's next caption: what a map scores that looks elsewhere. Writes
    ``results.json``, ``table.csv`` and an overlay per query to ``folder``. Raises UserError for
    annotations of another layout, for scenes that are missing, and for polygons outside their
    scene, before anything is encoded.
    """
    entries = read_annotations(annotations)
    files = [entry["jpg_name"] for entry in entries]
    if images.is_dir():
        files = found_names(files, images, lambda index: f"{annotations}: entry {index}")
    scenes: dict[str, list[int]] = {}
    for index, name in enumerate(files):
        scenes.setdefault(name, []).append(index)
    for name, own in scenes.items():
        with Scene(images / name, bands, stretch) as scene:
            for index in own:
                _check_inside(entries[index], scene, f"{annotations}: entry {index}")
    rows: list[dict[str, Any]] = [{} for _ in entries]
    elsewhere: list[LocalisationMetrics] = []
    for name, own in scenes.items():
        started = time.monotonic()
        with Scene(images / name, bands, stretch) as scene:
            queries = [entries[index]["caption"] for index in own]
            maps = localise(scene, queries, encoder, model_digest, folder, settings)
            seconds = time.monotonic() - started
            for index, other, query_map in zip(own, own[1:] + own[:1], maps, strict=True):
                whole = _whole(query_map, scene)
                measures = localisation_metrics(whole, entries[index]["points"])
                if chance and other != index:
                    elsewhere.append(localisation_metrics(whole, entries[other]["points"]))
                rows[index] = {"scene": name, "query": query_map.query, **measures._asdict(),
                               "seconds_of_scene": seconds}  # fmt: skip
                with atomic_path(folder / f"{index:04d}.png") as temporary:
                    draw_overlay(scene, query_map, entries[index]["points"]).save(
                        temporary, format="PNG"
                    )
        forget_windows(folder)
    names = LocalisationMetrics._fields
    values = np.array([[row[name] for name in names] for row in rows])
    spread = values.std(axis=0, ddof=1) if len(rows) > 1 else np.zeros(len(names))
    results = {
        "annotations": str(annotations),
        "queries": len(rows),
        "scenes": len(scenes),
        "windows": list(settings.sides),
        "overlap": settings.overlap,
        "mean": dict(zip(names, values.mean(axis=0).tolist(), strict=True)),
        "std": dict(zip(names, spread.tolist(), strict=True)),
        "rows": rows,
    }
    if elsewhere:
        results["chance"] = dict(zip(names, np.mean(elsewhere, axis=0).tolist(), strict=True))
    write_json(folder / "results.json", results)
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(folder / "table.csv", text.getvalue())
    return results


def table(results: dict[str, Any]) -> str:
    """The measures of each query, their mean and standard deviation, as text."""
    names = LocalisationMetrics._fields
    lines = [f"{'':44}" + "".join(f"{name:>8}" for name in names)]
    rows = [(f"{row['scene']}: {row['query']}", row) for row in results["rows"]]
    rows += [(f"{kind} of {results['queries']} queries", results[kind]) for kind in ("mean", "std")]
    if "chance" in results:
        rows.append(("chance: maps of other queries", results["chance"]))
    lines += [
        f"{title[:43]:44}" + "".join(f"{row[name]:8.4f}" for name in names) for title, row in rows
    ]
    return "\n".join(lines)


def read_annotations(path: Path) -> list[dict[str, Any]]:
    """The checked entries of an annotations file; UserError naming the entry that is wrong."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise UserError(path, "there is no such file", "correct --annotations") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(path, f"is not JSON ({error})", f"write {FORMAT}") from None
    if not isinstance(entries, list) or not entries:
        raise UserError(path, "is not a list of annotations", f"write {FORMAT}")
    for index, entry in enumerate(entries):
        location = f"{path}: entry {index}"
        if not isinstance(entry, dict):
            raise UserError(location, "is not an object", f"write {FORMAT}")
        for key in ("jpg_name", "caption"):
            if not isinstance(entry.get(key), str) or not entry[key].strip():
                raise UserError(location, f"{key} is missing or not text", f"write {FORMAT}")
        try:
            entry["points"] = [_polygon(points) for points in entry["points"]]
        except (KeyError, TypeError, ValueError):
            raise UserError(
                location, "points is not a list of polygons with at least 3 points [x, y] each",
                f"write {FORMAT}",
            ) from None  # fmt: skip
        if not entry["points"]:
            raise UserError(location, "has no polygon", "add one, or delete the entry")
    return entries


def _polygon(points: Any) -> np.ndarray:  # noqa: ANN401 - whatever the JSON held
    polygon = np.array(points, dtype=np.float64)
    if polygon.ndim != 2 or polygon.shape[1] != 2 or len(polygon) < 3:
        raise ValueError("not a polygon")
    if not np.isfinite(polygon).all():
        raise ValueError("not finite")
    return polygon


def _check_inside(entry: dict[str, Any], scene: Scene, location: str) -> None:
    for polygon in entry["points"]:
        low, high = polygon.min(axis=0), polygon.max(axis=0)
        if (high < 0).any() or low[0] >= scene.width or low[1] >= scene.height:
            raise UserError(
                location,
                f"a polygon lies outside the scene of {scene.width} x {scene.height} pixels",
                "points are x, y in pixels from the top left corner",
            )


def _whole(query_map: QueryMap, scene: Scene) -> np.ndarray:
    """The map at the scene's resolution, 0 where there is no data."""
    known = Image.fromarray(np.nan_to_num(query_map.probability, nan=0.0))
    whole = known.resize((scene.width, scene.height), Image.Resampling.BILINEAR)
    return np.clip(np.asarray(whole, dtype=np.float64), 0, 1)
