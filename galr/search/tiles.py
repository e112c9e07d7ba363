"""Tiles of scenes in an archive: what each shows of which scene, and where on the Earth.

A tile's name is that of its scene with the window in pixels, as a media fragment:
``area.tif#xywh=256,0,256,256`` (W3C, Media Fragments URI 1.0).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from galr.common.arrays import DAMAGED_ARRAYS
from galr.common.atomic import atomic_path
from galr.common.errors import UserError
from galr.scenes.geography import polygon, to_lonlat
from galr.scenes.scene import Scene, Window
from galr.scenes.windows import cover
from galr.search.exact import Found
from galr.search.storage import DAMAGED, ImageFile, Tiling
from galr.search.tile_arguments import Box

FRAGMENT = "#xywh="
LEAST_VALID = 0.5  # share of a tile's pixels; tiles with less data are left out
CORNERS = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])


class NoData(UserError):
    """A tile that shows nothing, which nobody need be told of."""


class Tile(NamedTuple):
    """A part of a scene. ``footprint`` (4, 2) longitudes and latitudes, None without coordinates.

    ``merged`` counts the hits of one place that the tile stands for, itself among them.
    """

    scene: str
    window: Window
    footprint: NDArray[np.float64] | None
    merged: int = 1

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


class SceneFacts(NamedTuple):
    """How a scene is read, and its corners (4, 2) as in ``Tile.footprint``."""

    width: int
    height: int
    bands: list[int]
    stretch: tuple[float, float]
    outline: list[list[float]] | None


def window_of(name: str) -> tuple[str, Window | None]:
    """The scene and the window that a name means; None for an image that is no tile."""
    scene, found, numbers = name.rpartition(FRAGMENT)
    if not found:
        return name, None
    left, top, width, height = map(int, numbers.split(","))
    return scene, Window(left, top, width, height)


class Cut:
    """The scenes below a folder, cut into tiles; ``problems`` are the scenes that cannot be."""

    def __init__(self, folder: Path, files: Sequence[ImageFile], tiling: Tiling) -> None:
        self.folder, self.files, self.problems = folder, list[ImageFile](), list[UserError]()
        self.scenes: dict[str, SceneFacts] = {}
        self.footprints: dict[str, NDArray[np.float64]] = {}
        self._open = threading.local()  # a scene is read by one thread
        for file in files:
            try:
                with Scene(folder / file.name, tiling.bands) as scene:
                    self._add(file, scene, tiling)
            except UserError as error:
                self.problems.append(error)
        self.files.sort()

    def _add(self, file: ImageFile, scene: Scene, tiling: Tiling) -> None:
        width, height = scene.width, scene.height
        fits = min(tiling.sides) <= min(width, height)
        windows = cover(width, height, tiling.sides, tiling.overlap) if fits else np.array(
            [[0, 0, width, height]]
        )  # fmt: skip
        boxes = np.concatenate([windows[:, :2], windows[:, 2:] - windows[:, :2]], axis=1)
        whole = _footprints(np.array([[0, 0, width, height]]), scene)
        outline = None if np.isnan(whole).any() else whole[0].tolist()
        footprints = _footprints(boxes, scene)
        self.scenes[file.name] = SceneFacts(width, height, scene.bands, scene.stretch, outline)
        for box, footprint in zip(boxes.tolist(), footprints, strict=True):
            name = f"{file.name}{FRAGMENT}{','.join(map(str, box))}"
            self.files.append(file._replace(name=name))
            self.footprints[name] = footprint

    def picture(self, file: ImageFile) -> Image.Image:
        """The pixels of a tile; NoData where most of it holds none."""
        name, window = window_of(file.name)
        assert window is not None
        if getattr(self._open, "name", None) != name:
            facts = self.scenes[name]
            self._open.scene = Scene(self.folder / name, facts.bands, facts.stretch)
            self._open.name = name
        pixels, valid = self._open.scene.read(window)
        if np.count_nonzero(valid) < LEAST_VALID * valid.size:
            raise NoData(
                self.folder / file.name, "is almost entirely nodata", "check its nodata value"
            )
        return Image.fromarray(pixels)

    def write(self, path: Path, files: Sequence[ImageFile]) -> None:
        """What ``Tiles`` reads, of the tiles ``files`` in their order."""
        split = [window_of(file.name) for file in files]
        names = sorted({name for name, _ in split})
        number = {name: place for place, name in enumerate(names)}
        facts = json.dumps([[name, *self.scenes[name]] for name in names])
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                scene=np.array([number[name] for name, _ in split], dtype=np.int32),
                windows=np.array([window for _, window in split], dtype=np.int32).reshape(-1, 4),
                footprints=np.array([self.footprints[one.name] for one in files]).reshape(-1, 4, 2),
                scenes=np.frombuffer(facts.encode(), dtype=np.uint8),
                allow_pickle=False,
            )


class Tiles:
    """The tiles of an archive by their numbers, as ``Cut.write`` has left them."""

    def __init__(self, path: Path, tiling: Tiling) -> None:
        """Raises UserError for a file that is missing or damaged."""
        self.tiling = tiling
        try:
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as stored:
                self._scene, self._windows = stored["scene"], stored["windows"]
                self._footprints = stored["footprints"]
                facts = json.loads(stored["scenes"].tobytes())
            self.scenes = {name: SceneFacts(*rest) for name, *rest in facts}
        except DAMAGED_ARRAYS:
            raise UserError(path, "is missing or damaged", DAMAGED) from None
        self._names = list(self.scenes)

    def of(self, number: int, merged: int = 1) -> Tile:
        """The tile of that number."""
        footprint = self._footprints[number]
        return Tile(
            self._names[self._scene[number]],
            Window(*self._windows[number].tolist()),
            None if np.isnan(footprint).any() else footprint,
            merged,
        )

    def within(self, box: Box) -> NDArray[np.int64]:
        """The numbers of the tiles that share ground with a box, (N,)."""
        west, south, east, north = box
        east = east + 360 if east < west else east
        low, high = self._footprints.min(axis=1), self._footprints.max(axis=1)  # NaN is nowhere
        across = np.zeros(len(low), dtype=bool)
        for turn in (-360, 0, 360):
            across |= (low[:, 0] + turn <= east) & (high[:, 0] + turn >= west)
        return np.flatnonzero(across & (low[:, 1] <= north) & (high[:, 1] >= south))

    def distinct(self, search: Callable[[int], Found], k: int, total: int) -> list[Any]:
        """The k best places: (number, score, merged), of a search for any number of tiles.

        A hit that overlaps a better one of the same scene belongs to its place. ``total``: tiles
        that the search can find at most.
        """
        # a tile overlaps no more others of its size than this, but for the last of a row
        wanted = k * (2 * int(np.ceil(1 / (1 - self.tiling.overlap))) - 1) ** 2
        while True:
            found = search(min(wanted, total))
            rows, scores = found.rows[0], found.scores[0]
            places, counts = self.merged(rows, k)
            if len(places) >= k or len(rows) < wanted or len(rows) >= total:
                return [
                    (int(rows[place]), float(scores[place]), count)
                    for place, count in zip(places, counts, strict=True)
                ]
            wanted *= 2

    def merged(self, rows: NDArray[np.int64], k: int | None = None) -> tuple[list[int], list[int]]:
        """Which of the tiles ``rows``, best first, are the best of a place, and their counts.

        At most ``k`` places; what follows them counts for those that it overlaps.
        """
        scene, windows = self._scene[rows], self._windows[rows].astype(np.int64)
        start, end = windows[:, :2], windows[:, :2] + windows[:, 2:]
        places: list[int] = []
        counts: list[int] = []
        for one in range(len(rows)):
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


def read_tile(path: Path, facts: SceneFacts, window: Window) -> Image.Image:
    """The pixels of a window of a scene."""
    with Scene(path, facts.bands, facts.stretch) as scene:
        return Image.fromarray(scene.read(window)[0])


def read_scene(path: Path, facts: SceneFacts, longest: int) -> Image.Image:
    """A whole scene, its longer side reduced to at most ``longest`` pixels."""
    with Scene(path, facts.bands, facts.stretch) as scene:
        return Image.fromarray(scene.overview(longest)[0])


def _footprints(boxes: NDArray[np.int64], scene: Scene) -> NDArray[np.float64]:
    """Corners (N, 4, 2) of boxes (N, 4) left, top, width, height; NaN without coordinates."""
    if scene.crs is None:
        return np.full((len(boxes), 4, 2), np.nan)
    corners = boxes[:, None, :2] + CORNERS * boxes[:, None, 2:]
    lonlat = to_lonlat(corners, scene)
    # beyond 180 degrees rather than around the Earth
    wide = np.ptp(lonlat[..., 0], axis=1) > 180
    lonlat[..., 0] += np.where(wide[:, None] & (lonlat[..., 0] < 0), 360, 0)
    return lonlat
