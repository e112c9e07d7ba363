"""Pixels of a scene as longitude and latitude."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from galr.common.errors import UserError
from galr.scenes.scene import Scene, import_rasterio

WGS84 = "EPSG:4326"
DECIMALS = 8  # of a degree: a millimetre


def to_lonlat(points: ArrayLike, scene: Scene) -> NDArray[np.float64]:
    """Points (..., 2) x, y in pixels -> longitude and latitude in WGS84, of the same shape.

    Raises UserError where the scene's reference system cannot be related to WGS84, and ValueError
    where it has none.
    """
    if scene.crs is None:
        raise ValueError(f"{scene.path} has no reference system")
    rasterio = import_rasterio()
    pixels, t = np.asarray(points, dtype=np.float64), scene.transform
    flat = pixels.reshape(-1, 2)
    places = flat @ np.array([[t.a, t.d], [t.b, t.e]]) + np.array([t.c, t.f])
    try:
        moved = np.array(rasterio.warp.transform(scene.crs, WGS84, *places.T)).T
    except Exception:  # noqa: BLE001 - rasterio lets errors of GDAL through, which have no public class
        raise _unknown(scene, "GDAL knows no way from it") from None
    if not np.isfinite(moved).all():
        raise _unknown(scene, "a point has no longitude and latitude")
    lonlat: NDArray[np.float64] = np.round(moved, DECIMALS).reshape(pixels.shape)
    return lonlat


def check_coordinates(scene: Scene) -> None:
    """Raises UserError for a scene whose reference system cannot be related to WGS84."""
    if scene.crs is not None:
        to_lonlat([[0, 0], [scene.width, scene.height]], scene)


def polygon(rings: list[NDArray[np.float64]]) -> dict[str, Any]:
    """Rings (P, 2) of longitudes and latitudes as a GeoJSON polygon, wound as RFC 7946 asks.

    The outer ring comes first and runs counter-clockwise, holes run clockwise.
    """
    wound = [_wound(ring, outer=number == 0) for number, ring in enumerate(rings)]
    return {"type": "Polygon", "coordinates": wound}


def _wound(ring: NDArray[np.float64], *, outer: bool) -> list[list[float]]:
    x, y = ring.T
    area = float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum())
    result: list[list[float]] = (ring if (area > 0) == outer else ring[::-1]).tolist()
    return result


def _unknown(scene: Scene, why: str) -> UserError:
    return UserError(
        scene.path, f"has a reference system that cannot be related to WGS84 ({why})",
        "assign the right one (gdal_edit.py -a_srs EPSG:...), or remove it (-a_srs none)",
    )  # fmt: skip
