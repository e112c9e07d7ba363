"""From a map of probabilities to regions: their outlines, scores and coordinates."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from galr.localise.scene import Scene, import_rasterio

WGS84 = "EPSG:4326"


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
    regions = []
    to_pixels = rasterio.Affine.scale(cell)
    for shape, _ in rasterio.features.shapes(
        above.astype(np.uint8), mask=above, connectivity=8, transform=to_pixels
    ):
        inside = rasterio.features.geometry_mask(
            [shape], above.shape, transform=to_pixels, invert=True
        )
        outline = [
            [(min(x, scene.width), min(y, scene.height)) for x, y in ring]
            for ring in shape["coordinates"]
        ]
        score = float(probability[inside & above].max())
        regions.append(Region(score, float(inside.sum()) * cell**2, outline))
    return sorted(regions, key=lambda region: -region.score)


def geojson(regions: list[tuple[str, Region]], scene: Scene) -> dict[str, Any]:
    """A FeatureCollection (RFC 7946) of regions, each with its query.

    Coordinates are longitude and latitude in WGS84 where the scene has a reference system;
    otherwise pixels, with y counted downwards; the member ``units`` states which.
    """
    features = []
    for query, region in regions:
        rings = [[list(point) for point in ring] for ring in region.outline]
        geometry: dict[str, Any] = {"type": "Polygon", "coordinates": rings}
        features.append(
            {
                "type": "Feature",
                "geometry": geometry if scene.crs is None else to_wgs84(geometry, scene),
                "properties": {
                    "query": query,
                    "score": region.score,
                    "area_pixels": region.area,
                    "pixel_box": list(region.box),
                },
            }
        )
    units = "pixels" if scene.crs is None else "WGS84"
    return {"type": "FeatureCollection", "units": units, "features": features}


def to_wgs84(geometry: dict[str, Any], scene: Scene) -> dict[str, Any]:
    """A polygon in pixels -> longitude and latitude, right-handed, with 8 decimals."""
    rasterio = import_rasterio()
    t = scene.transform
    matrix, origin = np.array([[t.a, t.d], [t.b, t.e]]), np.array([t.c, t.f])
    rings = [(np.array(ring) @ matrix + origin).tolist() for ring in geometry["coordinates"]]
    moved = rasterio.warp.transform_geom(
        scene.crs, WGS84, {"type": "Polygon", "coordinates": rings}, precision=8
    )
    return {"type": "Polygon", "coordinates": [
        _wound(ring, outer=number == 0) for number, ring in enumerate(moved["coordinates"])
    ]}  # fmt: skip


def _wound(ring: list[Any], *, outer: bool) -> list[list[float]]:
    """RFC 7946: the outer ring runs counter-clockwise, holes clockwise."""
    points = np.array(ring, dtype=np.float64)[:, :2]
    x, y = points.T
    area = float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum())
    result: list[list[float]] = (points if (area > 0) == outer else points[::-1]).tolist()
    return result
