"""The images of an archive as a browser is given them: by number, and encoded anew."""

from __future__ import annotations

import contextlib
import hashlib
from collections import OrderedDict
from typing import NamedTuple

from galr.common.errors import UserError
from galr.images.small import small_jpeg
from galr.search.archive import Archive
from galr.serving.limits import Refused

# the longer side in pixels, at most; ``scene`` is the whole scene that a tile is of
SIDES = {"thumb": 360, "large": 1600, "scene": 1600}
KEPT = 300  # the latest that are kept in memory, of some 30 to 400 KB


class Picture(NamedTuple):
    """A JPEG, and the size in pixels of the image that it is made of."""

    jpeg: bytes
    width: int
    height: int


class Pictures:
    """Encodes images of ``archive`` and keeps the latest ones."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self._kept: OrderedDict[str, Picture] = OrderedDict()  # by tag

    def is_there(self, number: int) -> bool:
        """Whether the file of an image is where it was."""
        with contextlib.suppress(Refused):
            return bool(self.tag(number, "thumb"))
        return False

    def tag(self, number: int, view: str) -> str:
        """Changes with the image: by it a browser knows its copy again. Refused as in ``get``."""
        if not 0 <= number < len(self.archive):
            raise Refused(404, "There is no image of that number.")
        if view == "scene" and self.archive.tiles is None:
            raise Refused(404, "There is nothing here.")
        try:
            file = self.archive.file_of(number)
        except UserError:
            raise _gone() from None
        # a scene is one picture for all of its tiles
        name = file.name if view == "scene" else self.archive.files[number].name
        told = repr((name, view, *file[1:])).encode(errors="surrogatepass")
        return f'"{hashlib.sha256(told).hexdigest()[:24]}"'

    def get(self, number: int, view: str) -> Picture:
        """Refused: 404 for a number that is none, 410 for a file that has gone or is damaged."""
        tag = self.tag(number, view)
        if (kept := self._kept.get(tag)) is not None:
            return kept
        try:
            is_scene, archive = view == "scene", self.archive
            image = archive.scene(number, SIDES[view]) if is_scene else archive.image(number)
        except UserError:
            raise _gone() from None
        width, height = image.size
        self._kept[tag] = made = Picture(small_jpeg(image, SIDES[view]), width, height)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return made


def _gone() -> Refused:
    return Refused(410, "This image is no longer where it was indexed.")
