"""What a localisation leaves in its folder: overlays, GeoTIFF maps, regions, and a summary."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from galr.common.atomic import atomic_path, write_json
from galr.common.quiet import without_warnings
from galr.localise.localisation import QueryMap
from galr.localise.regions import Region, geojson
from galr.scenes.geography import to_lonlat
from galr.scenes.scene import Scene, import_rasterio

OVERLAY_SIDE = 1600  # pixels of the longer side
OPACITY = 0.55


def write_localisation(
    folder: Path, scene: Scene, maps: list[QueryMap], facts: dict[str, Any]
) -> list[Path]:
    """Writes ``NAME.png``, ``NAME.tif`` for each query, ``regions.geojson`` and ``result.json``.

    ``facts`` go into result.json as they are. Returns the paths.
    """
    written, summary = [], []
    for name, own in zip(_names(maps), maps, strict=True):
        overlay, raster = folder / f"{name}.png", folder / f"{name}.tif"
        with atomic_path(overlay) as temporary:
            draw_overlay(scene, own).save(temporary, format="PNG")
        with atomic_path(raster) as temporary:
            _write_raster(temporary, scene, own)
        written += [overlay, raster]
        summary.append(
            {
                "query": own.query,
                "overlay": overlay.name,
                "map": raster.name,
                "highest_similarity": own.highest_similarity,
                "regions": [_described(region, scene) for region in own.regions],
            }
        )
    regions = [(own.query, region) for own in maps for region in own.regions]
    result = {
        "scene": str(scene.path),
        "width": scene.width,
        "height": scene.height,
        "crs": None if scene.crs is None else scene.crs.to_string(),
        "bands": scene.bands,
        "stretch": list(scene.stretch),
        **facts,
        "queries": summary,
    }
    write_json(folder / "regions.geojson", geojson(regions, scene))
    write_json(folder / "result.json", result)
    return [*written, folder / "regions.geojson", folder / "result.json"]


def draw_overlay(
    scene: Scene, own: QueryMap, expected: Sequence[NDArray[np.float64]] = ()
) -> Image.Image:
    """The scene under its map: regions outlined in white, ``expected`` polygons in black."""
    import cv2

    pixels, valid = scene.overview(OVERLAY_SIDE)
    height, width = valid.shape
    known = np.nan_to_num(own.probability, nan=0.0)
    heat = np.asarray(
        Image.fromarray(np.rint(known * 255).astype(np.uint8)).resize(
            (width, height), Image.Resampling.BILINEAR
        )
    )
    colours = cv2.applyColorMap(heat, cv2.COLORMAP_TURBO)[..., ::-1]
    share = (heat[..., None] / 255 * OPACITY) * valid[..., None]
    image = Image.fromarray(np.rint(pixels * (1 - share) + colours * share).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    scale = np.array([width / scene.width, height / scene.height])
    for polygon in expected:
        draw.line([*map(tuple, polygon * scale), tuple(polygon[0] * scale)], (0, 0, 0), width=3)
    for region in own.regions:
        draw.line([*map(tuple, np.array(region.outline[0]) * scale)], (255, 255, 255), width=2)
    return image


def _write_raster(path: Path, scene: Scene, own: QueryMap) -> None:
    rasterio = import_rasterio()
    rows, columns = own.probability.shape
    profile: dict[str, Any] = {
        "driver": "GTiff", "width": columns, "height": rows, "count": 1, "dtype": "float32",
        "nodata": float("nan"), "compress": "deflate",
    }  # fmt: skip
    if scene.crs is not None:
        t, cell = scene.transform, own.cell
        scaled = rasterio.Affine(t.a * cell, t.b * cell, t.c, t.d * cell, t.e * cell, t.f)
        profile |= {"crs": scene.crs, "transform": scaled}
    quiet = without_warnings(rasterio.errors.NotGeoreferencedWarning)
    with quiet, rasterio.open(path, "w", **profile) as file:
        file.write(own.probability, 1)
        file.set_band_description(1, own.query)


def _described(region: Region, scene: Scene) -> dict[str, Any]:
    left, top, right, bottom = region.box
    described: dict[str, Any] = {
        "score": region.score,
        "area_pixels": region.area,
        "pixel_box": [left, top, right, bottom],
    }
    if scene.crs is not None:
        corners = to_lonlat([(left, top), (right, top), (right, bottom), (left, bottom)], scene)
        described["bbox_wgs84"] = [*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist()]
    return described


def _names(maps: list[QueryMap]) -> list[str]:
    """A file name for each query: its number and its first words."""
    return [
        f"{number:02d}_" + "_".join(re.findall(r"[a-z0-9]+", own.query.lower())[:6])
        for number, own in enumerate(maps)
    ]
