"""Tiles of scenes: how a scene is cut, what each tile shows, and where that lies on the Earth.

A tile's name is that of its scene with the window in pixels, as a media fragment:
``area.tif#xywh=256,0,256,256`` (W3C, Media Fragments URI 1.0).
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict

from galr.common.errors import UserError
from galr.scenes.geography import polygon, to_lonlat
from galr.scenes.scene import Scene, Window
from galr.scenes.windows import cover

FRAGMENT = "#xywh="
LEAST_VALID = 0.5  # share of a tile's pixels; tiles with less data are left out
CORNERS = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])


class NoData(UserError):
    """A tile that shows nothing, which nobody need be told of."""


class Tiling(BaseModel):
    """How scenes are cut into tiles: sides in pixels, overlap as a share of the side, bands."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sides: tuple[int, ...]
    overlap: float
    bands: tuple[int, ...] | None = None

    def __str__(self) -> str:
        """As the options of a command."""
        told = f"--tiles {','.join(map(str, self.sides))} --overlap {self.overlap:g}"
        return told if self.bands is None else f"{told} --bands {','.join(map(str, self.bands))}"


class SceneFacts(NamedTuple):
    """How a scene is read, and its corners (4, 2) as in ``Tile.footprint``."""

    width: int
    height: int
    bands: list[int]
    stretch: tuple[float, float]
    outline: list[list[float]] | None
    crs: str | None = None


class Tile(NamedTuple):
    """A part of a scene. ``footprint`` (4, 2) longitudes and latitudes, None without coordinates.

    ``merged`` counts the hits of one place that the tile stands for, itself among them.
    """

    scene: str
    window: Window
    footprint: NDArray[np.float64] | None
    merged: int = 1

    @property
    def name(self) -> str:
        """As the module tells."""
        return f"{self.scene}{FRAGMENT}{','.join(map(str, self.window))}"

    @property
    def centre(self) -> tuple[float, float] | None:
        """Longitude and latitude of its middle."""
        if self.footprint is None:
            return None
        longitude, latitude = self.footprint.mean(axis=0).tolist()
        return longitude, latitude

    def __str__(self) -> str:
        left, top, width, height = self.window
        where = f"{self.scene}  x {left}-{left + width} y {top}-{top + height}"
        if self.centre is None:
            return where
        return f"{where}  lon {self.centre[0]:.6f} lat {self.centre[1]:.6f}"


def scene_of(name: str) -> str:
    """The scene that the name of a tile begins with, or the name of an image that is no tile."""
    return name.rpartition(FRAGMENT)[0] or name


def cut(path: Path, name: str, tiling: Tiling) -> tuple[SceneFacts, list[Tile]]:
    """The tiles of the scene in a file; one that is smaller than every tile is one tile itself.

    Raises UserError for a scene that cannot be read, or related to the Earth.
    """
    with Scene(path, tiling.bands) as scene:
        width, height = scene.width, scene.height
        whole = np.array([[0, 0, width, height]])
        fits = min(tiling.sides) <= min(width, height)
        windows = cover(width, height, tiling.sides, tiling.overlap) if fits else whole
        windows = np.concatenate([windows[:, :2], windows[:, 2:] - windows[:, :2]], axis=1)
        (outline,), footprints = _footprints(whole, scene), _footprints(windows, scene)
        corners = None if outline is None else outline.tolist()
        crs = None if scene.crs is None else scene.crs.to_string()
        facts = SceneFacts(width, height, scene.bands, scene.stretch, corners, crs)
    both = zip(windows.tolist(), footprints, strict=True)
    return facts, [Tile(name, Window(*window), footprint) for window, footprint in both]


def cut_all(
    folder: Path, names: Sequence[str], tiling: Tiling
) -> tuple[dict[str, SceneFacts], list[Tile], dict[str, UserError]]:
    """The scenes of a folder, by name, and their tiles; and why others cannot be cut."""
    scenes: dict[str, SceneFacts] = {}
    tiles: list[Tile] = []
    problems: dict[str, UserError] = {}
    for name in names:
        try:
            scenes[name], own = cut(folder / name, name, tiling)
        except UserError as error:
            problems[name] = error
        else:
            tiles += own
    return scenes, tiles, problems


class TileReader:
    """Reads tiles of the scenes below a folder, of which each thread keeps the latest one open."""

    def __init__(self, folder: Path, scenes: Mapping[str, SceneFacts]) -> None:
        self.folder, self.scenes = folder, scenes
        self._open = threading.local()  # a scene is read by one thread

    def __reduce__(self) -> tuple[type[TileReader], tuple[Any, ...]]:
        return TileReader, (self.folder, self.scenes)  # files stay open in one process

    def read(self, tile: Tile) -> Image.Image:
        """The pixels of a tile; NoData where most of it holds none."""
        if getattr(self._open, "name", None) != tile.scene:
            facts = self.scenes[tile.scene]
            self._open.scene = Scene(self.folder / tile.scene, facts.bands, facts.stretch)
            self._open.name = tile.scene
        pixels, valid = self._open.scene.read(tile.window)
        if np.count_nonzero(valid) < LEAST_VALID * valid.size:
            place = self.folder / tile.name
            raise NoData(place, "is almost entirely nodata", "check its nodata value")
        return Image.fromarray(pixels)


def read_tile(path: Path, facts: SceneFacts, window: Window) -> Image.Image:
    """The pixels of a window of a scene."""
    with Scene(path, facts.bands, facts.stretch) as scene:
        return Image.fromarray(scene.read(window)[0])


def read_scene(path: Path, facts: SceneFacts, longest: int) -> Image.Image:
    """A whole scene, its longer side reduced to at most ``longest`` pixels."""
    with Scene(path, facts.bands, facts.stretch) as scene:
        return Image.fromarray(scene.overview(longest)[0])


def best_of_places(tiles: Sequence[Tile], k: int | None = None) -> tuple[list[int], list[int]]:
    """Which of ``tiles``, best first, are the best of a place, and how many stand for it.

    A tile that overlaps a better one of the same scene belongs to its place. At most ``k`` places;
    what follows them counts for those that it overlaps.
    """
    scene = np.array([tile.scene for tile in tiles])
    windows = np.array([tile.window for tile in tiles]).reshape(-1, 4)
    start, end = windows[:, :2], windows[:, :2] + windows[:, 2:]
    places: list[int] = []
    counts: list[int] = []
    for one in range(len(tiles)):
        kept = np.array(places, dtype=np.int64)
        overlaps = (scene[kept] == scene[one]) & (
            (start[kept] < end[one]) & (start[one] < end[kept])
        ).all(axis=1)
        if overlaps.any():
            counts[int(overlaps.argmax())] += 1
        elif k is None or len(places) < k:
            places.append(one)
            counts.append(1)
    return places, counts


def geojson(found: Sequence[tuple[int, float, Tile]], query: str) -> dict[str, Any]:
    """A FeatureCollection (RFC 7946) of tiles with rank and score, in longitude and latitude.

    A tile of a scene without coordinates has no geometry, and its window in pixels alone.
    """
    features = []
    for rank, score, tile in found:
        left, top, width, height = tile.window
        corners = tile.footprint
        geometry = None
        if corners is not None:
            geometry = polygon([np.concatenate([corners, corners[:1]])])
        properties = {
            "query": query, "rank": rank, "score": score, "scene": tile.scene, "left": left,
            "top": top, "width": width, "height": height, "tiles": tile.merged,
        }  # fmt: skip
        features.append({"type": "Feature", "geometry": geometry, "properties": properties})
    return {"type": "FeatureCollection", "features": features}


def _footprints(windows: NDArray[np.int64], scene: Scene) -> Sequence[NDArray[np.float64] | None]:
    """Corners (4, 2) of each of windows (N, 4) left, top, width, height."""
    if scene.crs is None:
        return [None] * len(windows)
    lonlat = to_lonlat(windows[:, None, :2] + CORNERS * windows[:, None, 2:], scene)
    # beyond 180 degrees rather than around the Earth
    wide = np.ptp(lonlat[..., 0], axis=1) > 180
    lonlat[..., 0] += np.where(wide[:, None] & (lonlat[..., 0] < 0), 360, 0)
    return list(lonlat)
