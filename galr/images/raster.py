"""Images with sensor values: more than 8 bits, signed, floating-point, many bands.

Pillow truncates 16-bit RGB to its upper 8 bits and refuses most others; imagecodecs and, for TIFF
(``galr.images.tiff``), tifffile read the values.
"""

from __future__ import annotations

import io
import struct
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL.ImageFile import ImageFile

from galr.common.claims import HARMLESS, MOST_PACKED

_START_OF_JPEG2000 = b"\xff\x4f\xff\x51"


class Raster(NamedTuple):
    """The sensor values of an image file."""

    values: NDArray[Any]  # (H, W, bands)
    colours: int  # 1: the first band is grey, 3: the first are red, green and blue, 0: not stated
    no_data: float | None = None  # the nodata value stated by the file
    white: float | None = None  # the value of white, if the format defines it
    orientation: int = 1  # as in EXIF, 1 to 8

    def __str__(self) -> str:
        """Such as "13 bands of 16 bits"."""
        bands, dtype = self.values.shape[2], self.values.dtype
        kind = {"i": "signed ", "f": "floating-point ", "c": "complex "}.get(dtype.kind, "")
        return f"{bands} band{'s' * (bands > 1)} of {dtype.itemsize * 8} {kind}bits"


def file_size(file: IO[bytes]) -> int:
    """The size of an open file in bytes."""
    place = file.tell()
    size = file.seek(0, io.SEEK_END)
    file.seek(place)
    return size


def check_claim(decoded: int, stored: int) -> None:
    """Raises ValueError if ``stored`` bytes cannot decode to ``decoded`` ones."""
    if decoded > max(HARMLESS, MOST_PACKED * stored):
        raise ValueError(f"it claims {decoded / 1e6:,.0f} MB but has {stored:,} bytes")


def other_raster(image: ImageFile) -> Raster | None:
    """The values of an opened image other than TIFF; None for 8 bits, which Pillow reads."""
    width, height = image.size
    offset, coding = image.tile[0][2:4] if image.tile else (0, "")
    if image.format == "PNG" and "16" in str(coding):
        from imagecodecs import png_decode

        content = _content(image)
        if content[12:16] != b"IHDR" or struct.unpack(">II", content[16:24]) != image.size:
            raise ValueError("its header is damaged")
        values = png_decode(content).reshape(height, width, -1)
        return Raster(values, 1 if values.shape[2] < 3 else 3, white=65535)
    if image.format == "JPEG2000":
        content = _content(image)
        start = content.find(_START_OF_JPEG2000)
        if start >= 0 and content[start + 42] & 127 > 7:  # bits of the first band, minus 1
            from imagecodecs import jpeg2k_decode

            right, lower, left, upper = struct.unpack_from(">IIII", content, start + 8)
            if (right - left, lower - upper) != image.size or content[start + 40] != 0:
                raise ValueError("its header is damaged")  # or it has more than 255 bands
            values = jpeg2k_decode(content[start:]).reshape(height, width, -1)
            bands = values.shape[2]
            return Raster(values, bands if bands in (1, 3) else 0)
    # encoding: the mode and the largest value; for 8 bits only the mode
    if image.format == "PPM" and isinstance(coding, tuple) and coding[0] == "RGB":
        if coding[-1] > 255:
            values = np.frombuffer(_content(image), ">u2", width * height * 3, offset)
            values = values.astype(np.uint16).reshape(height, width, 3)
            return Raster(values, 3, white=coding[-1])
        return None
    if image.mode.startswith(("I", "F")):
        white = 65535 if image.mode == "I" else None  # to which Pillow scales PGM
        return Raster(np.asarray(image)[..., None], 1, white=white)
    return None


def _content(image: ImageFile) -> bytes:
    file = image.fp
    assert file is not None  # before it is loaded
    place = file.tell()
    file.seek(0)
    content = file.read()
    file.seek(place)
    return content
