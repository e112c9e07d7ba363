"""What a build looks at: image files of a folder, an address or a list, whole or cut into tiles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from galr.common.errors import UserError
from galr.images.places import ImageFile, ImagePlace, read_list
from galr.images.scaling import Scaling
from galr.scenes.tiles import SceneFacts, TileReader, Tiling, cut_all
from galr.search.tiles import place_of


class Source:
    """The image ``files`` of a place; ``problems`` are those that cannot be read, by name."""

    scenes: dict[str, SceneFacts] | None = None

    def __init__(self, place: ImagePlace, files: Sequence[ImageFile], only: Sequence[str]) -> None:
        self.place, self.only = place, only
        self.files = [file for file in files if self.looks_at(file.name)]
        self.problems: dict[str, UserError] = {}

    def looks_at(self, name: str) -> bool:
        """Whether an image lies in a folder that the build is about."""
        return not self.only or any(name.startswith(f"{part.strip('/')}/") for part in self.only)

    def picture(self, file: ImageFile, scaling: Scaling) -> Image.Image:
        """A decoded image; raises UserError."""
        return self.place.decode(file.name, scaling)

    def columns(self, file: ImageFile) -> dict[str, Any]:
        """What is known of an image beside its file."""
        return {}


class TileSource(Source):
    """Tiles of the scenes in a folder, which are images of their own."""

    def __init__(
        self, place: ImagePlace, files: Sequence[ImageFile], only: Sequence[str], tiling: Tiling
    ) -> None:
        """Raises UserError where no scene can be cut."""
        super().__init__(place, files, only)
        if place.is_remote:
            what = "cannot be cut into tiles where it is"
            raise UserError(place.address, what, "copy the scenes to a folder")
        of = {file.name: file for file in self.files}
        self.scenes, tiles, self.problems = cut_all(place.folder, list(of), tiling)
        self.tiles = {tile.name: tile for tile in tiles}
        self.files = sorted(of[tile.scene]._replace(name=tile.name) for tile in tiles)
        if not self.files and self.problems:
            raise next(iter(self.problems.values()))
        self.reader = TileReader(place.folder, self.scenes)

    def picture(self, file: ImageFile, scaling: Scaling) -> Image.Image:
        """The pixels of a tile; NoData where most of it holds none."""
        return self.reader.read(self.tiles[file.name])

    def columns(self, file: ImageFile) -> dict[str, Any]:
        """The scene of a tile, its window, and where that lies."""
        tile = self.tiles[file.name]
        return place_of(tile, self.reader.scenes[tile.scene].crs)


def open_source(images: str | Path, only: Sequence[str], tiling: Tiling | None) -> Source:
    """The files of ``images``; raises UserError where there are none."""
    place, names = ImagePlace(images), None
    if str(images).endswith(".parquet") and not place.folder.is_dir():
        place, names = read_list(images)
    files = place.files(names)
    return Source(place, files, only) if tiling is None else TileSource(place, files, only, tiling)
