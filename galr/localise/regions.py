"""Regions of a map above a threshold: their outlines, scores and coordinates."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from galr.scenes.geography import polygon, to_lonlat
from galr.scenes.scene import Scene, import_rasterio


class Region(NamedTuple):
    """A connected part of a map above the threshold."""

    score: float  # the highest probability in it
    area: float  # pixels of the scene
    outline: list[list[tuple[float, float]]]  # rings (x, y) in pixels; the first is the outer one

    @property
    def box(self) -> tuple[float, float, float, float]:
        """left, top, right, bottom in pixels."""
        corners = np.array(self.outline[0])
        left, top = corners.min(axis=0).tolist()
        right, bottom = corners.max(axis=0).tolist()
        return left, top, right, bottom


def find_regions(
    probability: NDArray[np.float32], threshold: float, cell: int, scene: Scene
) -> list[Region]:
    """The connected parts of a map (H, W) of cells of ``cell`` pixels, the best first."""
    rasterio = import_rasterio()
    above = np.nan_to_num(probability, nan=0.0) >= threshold
    parts, count = ndimage.label(above, structure=np.ones((3, 3)))
    highest = ndimage.maximum(probability, parts, np.arange(1, count + 1))
    cells = np.bincount(parts.ravel(), minlength=count + 1)
    regions = []
    for shape, part in rasterio.features.shapes(
        parts.astype(np.int32), mask=above, connectivity=8, transform=rasterio.Affine.scale(cell)
    ):
        outline = [
            [(min(x, scene.width), min(y, scene.height)) for x, y in ring]
            for ring in shape["coordinates"]
        ]
        number = int(part)
        area = float(cells[number]) * cell**2
        regions.append(Region(float(highest[number - 1]), area, outline))
    return sorted(regions, key=lambda region: -region.score)


def geojson(regions: list[tuple[str, Region]], scene: Scene) -> dict[str, Any]:
    """A FeatureCollection (RFC 7946) of regions, each with its query.

    Coordinates are longitude and latitude in WGS84 where the scene has a reference system;
    otherwise pixels, with y counted downwards; the member ``units`` states which.
    """
    features = []
    for query, region in regions:
        rings = [np.array(ring, dtype=np.float64) for ring in region.outline]
        if scene.crs is None:
            geometry = {"type": "Polygon", "coordinates": [ring.tolist() for ring in rings]}
        else:
            geometry = polygon([to_lonlat(ring, scene) for ring in rings])
        properties = {
            "query": query, "score": region.score, "area_pixels": region.area,
            "pixel_box": list(region.box),
        }  # fmt: skip
        features.append({"type": "Feature", "geometry": geometry, "properties": properties})
    units = "pixels" if scene.crs is None else "WGS84"
    return {"type": "FeatureCollection", "units": units, "features": features}
