"""The images of an archive as a browser is given them: by number, and encoded anew."""

from __future__ import annotations

import hashlib
import io
import os
from collections import OrderedDict
from threading import Lock
from typing import Literal, NamedTuple

from PIL import Image

from galr.common.errors import UserError
from galr.images.decoding import AS_IT_IS, FORMATS, decode_image
from galr.images.scaling import Scaling
from galr.search.archive import Archive
from galr.search.serve.limits import Limits, Refused, shown_bytes
from galr.search.tiles import window_of

View = Literal["thumb", "large", "scene"]  # the last is of the whole scene that a tile is of
SIDES: dict[View, int] = {"thumb": 360, "large": 1600, "scene": 1600}  # pixels, at most
CACHE_BYTES = 64 << 20
GONE = "This image is no longer where it was indexed."


class Picture(NamedTuple):
    """A JPEG, and the size in pixels of the image that it is made of."""

    jpeg: bytes
    width: int
    height: int


class Pictures:
    """Encodes images of ``archive`` and keeps the latest ones."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self._kept: OrderedDict[tuple[str, View], Picture] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def is_there(self, number: int) -> bool:
        """Whether the file of an image is where it was."""
        try:
            self._stamp(number)
        except Refused:
            return False
        return True

    def tag(self, number: int, view: View) -> str:
        """Changes with the image: by it a browser knows its copy again. Refused as in ``get``."""
        return f'"{self._stamp(number, view)}-{view}"'

    def get(self, number: int, view: View) -> Picture:
        """Refused: 404 for a number that is none, 410 for a file that has gone or is damaged."""
        key = (self._stamp(number, view), view)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        try:
            image = self._image(number, view)
        except UserError:
            raise Refused(410, GONE) from None
        width, height = image.size
        image.thumbnail((SIDES[view], SIDES[view]))
        picture = Picture(_jpeg(image), width, height)
        self._keep(key, picture)
        return picture

    def _image(self, number: int, view: View) -> Image.Image:
        if view == "scene":
            return self.archive.scene(number, SIDES[view])
        return self.archive.image(number)

    def _stamp(self, number: int, view: View = "thumb") -> str:
        if not 0 <= number < len(self.archive):
            raise Refused(404, "There is no image of that number.")
        name = self.archive.files[number].name
        if view == "scene":  # one picture for all tiles of a scene
            name, window = window_of(name)
            if window is None:
                raise Refused(404, "There is nothing here.")
        try:
            stat = os.stat(self.archive.image_path(number))
        except (OSError, UserError):
            raise Refused(410, GONE) from None
        told = repr((name, stat.st_size, stat.st_mtime_ns))
        return hashlib.sha256(told.encode(errors="surrogatepass")).hexdigest()[:24]

    def _keep(self, key: tuple[str, View], picture: Picture) -> None:
        with self._lock:
            if key in self._kept:
                return
            self._kept[key] = picture
            self._bytes += len(picture.jpeg)
            while self._bytes > CACHE_BYTES:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= len(oldest.jpeg)


def read_upload(body: bytes, limits: Limits, scaling: Scaling = AS_IT_IS) -> Image.Image:
    """An image that somebody has sent, as RGB; Refused (413, 415, 422) where it is none."""
    if not body:
        raise Refused(422, "The image is empty.")
    try:
        return decode_image(io.BytesIO(body), scaling, most=limits.upload_pixels)
    except UserError as error:
        what = error.what.partition(" (")[0]  # in brackets stands what the decoder says
        status = 413 if "pixels" in what else 415 if "known kind" in what else 422
        takes = f"{', '.join(FORMATS)}, at most {shown_bytes(limits.upload_bytes)}"
        takes = f"{takes} and {limits.upload_pixels / 1e6:g} million pixels"
        raise Refused(status, f"The image {what}. Accepted: {takes}.") from None


def _jpeg(image: Image.Image) -> bytes:
    image.info.clear()  # where Pillow keeps comments, places and the like, and writes them again
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85, optimize=True)
    return file.getvalue()
