"""Tiles of scenes in an archive: what each shows of which scene, and where on the Earth.

A tile's name is that of its scene with the window in pixels, as a media fragment:
``area.tif#xywh=256,0,256,256`` (W3C, Media Fragments URI 1.0).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from galr.common.errors import UserError
from galr.scenes.geography import polygon, to_lonlat
from galr.scenes.scene import Scene, Window
from galr.scenes.windows import cover
from galr.search.rows import ImageFile
from galr.search.store import Tiling
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
    crs: str | None = None


SCENES = pa.schema(
    [
        ("name", pa.string()), ("width", pa.int32()), ("height", pa.int32()),
        ("bands", pa.list_(pa.int32())), ("stretch", pa.list_(pa.float64())),
        ("outline", pa.list_(pa.list_(pa.float64()))), ("crs", pa.string()),
    ]
)  # fmt: skip


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
        crs = None if scene.crs is None else scene.crs.to_string()
        self.scenes[file.name] = SceneFacts(width, height, scene.bands, scene.stretch, outline, crs)
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

    def place(self, file: ImageFile) -> dict[str, Any]:
        """Columns of a tile: its scene, its window, and where that lies."""
        name, window = window_of(file.name)
        assert window is not None
        return place_of(name, window, self.footprints[file.name], self.scenes[name].crs)

    def rows(self) -> pa.Table:
        """The scenes as rows of the table of scenes."""
        found = [{"name": name, **facts._asdict()} for name, facts in self.scenes.items()]
        return pa.Table.from_pylist(found, schema=SCENES)


def place_of(
    scene: str, window: Sequence[int], footprint: NDArray[np.float64], crs: str | None
) -> dict[str, Any]:
    """The columns of a tile of a scene; footprint (4, 2), NaN without coordinates."""
    columns = dict(zip(("left", "top", "width", "height"), window, strict=True))
    if np.isnan(footprint).any():
        return {"scene": scene, **columns}
    edges = [*footprint.min(axis=0).tolist(), *footprint.max(axis=0).tolist()]
    box = dict(zip(("west", "south", "east", "north"), edges, strict=True))
    return {"scene": scene, **columns, **box, "footprint": footprint.ravel().tolist(), "crs": crs}


def within(box: Box) -> str:
    """The condition that a tile shares ground with a box."""
    west, south, east, north = box
    east = east + 360 if east < west else east
    across = " OR ".join(
        f"(west <= {east - turn} AND east >= {west - turn})" for turn in (-360, 0, 360)
    )
    return f"({across}) AND south <= {north} AND north >= {south}"


Rows = Callable[[Sequence[int]], list[dict[str, Any]]]
Search = Callable[[int], tuple[NDArray[np.int64], NDArray[np.float32]]]


class Tiles:
    """The tiles of an archive; ``rows`` reads columns by numbers, ``scenes`` is their table."""

    def __init__(self, rows: Rows, scenes: pa.Table, tiling: Tiling) -> None:
        self._rows, self.tiling = rows, tiling
        self.scenes = {
            row.pop("name"): SceneFacts(**{**row, "stretch": tuple(row["stretch"])})
            for row in scenes.to_pylist()
        }

    def of(self, number: int, merged: int = 1) -> Tile:
        """The tile of that number."""
        (row,) = self._rows([number])
        corners = row["footprint"]
        window = Window(row["left"], row["top"], row["width"], row["height"])
        footprint = None if corners is None else np.array(corners).reshape(4, 2)
        return Tile(row["scene"], window, footprint, merged)

    def distinct(self, search: Search, k: int, total: int) -> list[tuple[int, float, int]]:
        """The k best places: (number, score, merged), of a search for any number of tiles.

        A hit that overlaps a better one of the same scene belongs to its place. ``total``: tiles
        that the search can find at most.
        """
        # a tile overlaps no more others of its size than this, but for the last of a row
        wanted = k * (2 * int(np.ceil(1 / (1 - self.tiling.overlap))) - 1) ** 2
        while True:
            rows, scores = search(min(wanted, total))
            places, counts = self.merged(rows.tolist(), k)
            if len(places) >= k or len(rows) < wanted or len(rows) >= total:
                return [
                    (int(rows[place]), float(scores[place]), count)
                    for place, count in zip(places, counts, strict=True)
                ]
            wanted *= 2

    def merged(self, rows: Sequence[int], k: int | None = None) -> tuple[list[int], list[int]]:
        """Which of the tiles ``rows``, best first, are the best of a place, and their counts.

        At most ``k`` places; what follows them counts for those that it overlaps.
        """
        found = self._rows(rows)
        scene = np.array([row["scene"] for row in found])
        sides = ("left", "top", "width", "height")
        windows = np.array([[row[side] for side in sides] for row in found]).reshape(-1, 4)
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
