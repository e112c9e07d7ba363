"""Image files that hold numbers of a sensor: more than 8 bits, signed, floating-point, many bands.

Pillow cuts 16-bit RGB to its upper 8 bits and refuses most others; tifffile and imagecodecs read
the numbers.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL.ImageFile import ImageFile

if TYPE_CHECKING:
    from tifffile import TiffFile

# it logs what is odd about a file; what matters is raised
logging.getLogger("tifffile").setLevel(logging.CRITICAL)

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# compressions that Pillow decodes: none, CCITT, LZW, JPEG, deflate, PackBits
_OF_PILLOW = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 32773, 32946})
_ORIENTATION, _GDAL_NODATA = 274, 42113  # tags
_ALPHA = (1, 2)  # values of the tag ExtraSamples
_START_OF_JPEG2000 = b"\xff\x4f\xff\x51"


class Raster(NamedTuple):
    """The numbers of an image file."""

    values: NDArray[Any]  # (H, W, bands)
    colours: int  # 1: the first band is grey, 3: the first are red, green and blue, 0: not stated
    no_data: float | None = None  # the number of pixels without data, as the file states it
    white: float | None = None  # the number that is white, where the format defines it
    orientation: int = 1  # as in EXIF, 1 to 8

    def __str__(self) -> str:
        """Such as "13 bands of 16 bits"."""
        bands, dtype = self.values.shape[2], self.values.dtype
        kind = {"i": "signed ", "f": "floating-point ", "c": "complex "}.get(dtype.kind, "")
        return f"{bands} band{'s' * (bands > 1)} of {dtype.itemsize * 8} {kind}bits"


@contextlib.contextmanager
def open_tiff(file: IO[bytes]) -> Iterator[TiffFile | None]:
    """The TIFF file; None for a file of another kind."""
    file.seek(0)
    start = file.read(4)
    file.seek(0)
    if start not in _TIFF:
        yield None
        return
    from tifffile import TiffFile

    with TiffFile(file) as tiff:
        yield tiff


def tiff_size(tiff: TiffFile) -> tuple[int, int, int]:
    """Width, height and EXIF orientation of the first image."""
    page = tiff.pages.first
    orientation = page.tags.valueof(_ORIENTATION)
    return page.imagewidth, page.imagelength, orientation if orientation in range(1, 9) else 1


def tiff_raster(tiff: TiffFile, most_bytes: int) -> Raster | None:
    """The numbers of the first image; None for 8-bit grey, RGB and the like, which Pillow reads.

    Pages of the same size are its bands. Raises ValueError where it is none, or takes more than
    ``most_bytes``.
    """
    page: Any = tiff.pages.first
    grey = page.photometric in (0, 1)
    if (
        page.dtype in (np.uint8, bool)
        and page.compression in _OF_PILLOW
        and not (grey and page.samplesperpixel > 1)
    ):
        return None
    series = tiff.series[0]
    if series.nbytes > most_bytes:
        raise ValueError(f"its numbers take {series.nbytes / 1e9:.1f} GB")
    values = series.asarray(maxworkers=1)
    if values.ndim == 2:
        values = values[..., None]
    elif values.ndim != 3 or series.axes[-2:] == "YX":
        values = np.moveaxis(values, 0, -1)
    if values.shape[:2] != (page.imagelength, page.imagewidth) or values.ndim != 3:
        raise ValueError(f"its axes are {series.axes}, {series.shape}")
    if page.photometric == 0 and values.dtype.kind == "u":  # white is 0
        values = np.iinfo(values.dtype).max - values
    bands = values.shape[2] - sum(kind in _ALPHA for kind in page.extrasamples)
    colours = 3 if page.photometric == 2 else bands if grey and bands in (1, 3) else 0
    no_data = None
    with contextlib.suppress(ValueError):
        no_data = float(str(page.tags.valueof(_GDAL_NODATA, "")).strip("\0 "))
    return Raster(values, colours, no_data, orientation=tiff_size(tiff)[2])


def other_raster(image: ImageFile) -> Raster | None:
    """The numbers of an opened image that is no TIFF; None for 8 bits, which Pillow reads."""
    width, height = image.size
    offset, coding = image.tile[0][2:4] if image.tile else (0, "")
    if image.format == "PNG" and "16" in str(coding):
        from imagecodecs import png_decode

        values = png_decode(_content(image)).reshape(height, width, -1)
        return Raster(values, 1 if values.shape[2] < 3 else 3, white=65535)
    if image.format == "JPEG2000":
        content = _content(image)
        start = content.find(_START_OF_JPEG2000)
        if start >= 0 and content[start + 42] & 127 > 7:  # bits of the first band, less 1
            from imagecodecs import jpeg2k_decode

            values = jpeg2k_decode(content).reshape(height, width, -1)
            bands = values.shape[2]
            return Raster(values, bands if bands in (1, 3) else 0)
    # coding: the mode and the largest number; of 8 bits the mode alone
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
