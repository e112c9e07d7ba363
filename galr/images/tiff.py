"""TIFF files that hold numbers of a sensor, and what their headers claim."""

from __future__ import annotations

import contextlib
import io
import logging
import math
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from galr.images.libtiff import silence_libtiff
from galr.images.raster import Raster, check_claim

if TYPE_CHECKING:
    from tifffile import TiffFile

# it logs what is odd about a file; what matters is raised
logging.getLogger("tifffile").setLevel(logging.CRITICAL)

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# compressions that Pillow decodes: none, CCITT, LZW, JPEG, deflate, PackBits
_OF_PILLOW = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 32773, 32946})
# whose decoder is told how much comes out: none, LZW, deflate, PackBits, LZMA, Zstandard
_OF_BYTES = frozenset({1, 5, 8, 32773, 32946, 34925, 50000})
# whose parts are images that state a size themselves: JPEG, JPEG 2000, WebP
_OF_PICTURES = frozenset({7, 33003, 33004, 33005, 34712, 50001})
MOST_PAGES = 512
_ORIENTATION, _GDAL_NODATA = 274, 42113  # tags
_ALPHA = (1, 2)  # values of the tag ExtraSamples


@contextlib.contextmanager
def open_tiff(file: IO[bytes]) -> Iterator[TiffFile | None]:
    """The TIFF file; None for a file of another kind."""
    file.seek(0)
    start = file.read(4)
    file.seek(0)
    if start not in _TIFF:
        yield None
        return
    from tifffile import TIFF, TiffFile

    silence_libtiff()
    # as plain pages: what microscopes and the like add to TIFF may name other files
    plain: Any = {f"is_{kind}": False for kind in TIFF.FILE_FLAGS}
    with TiffFile(file, _multifile=False, **plain) as tiff:
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
    pages = [page] if page.samplesperpixel > 1 else _bands_in_pages(tiff)
    _check_pages(tiff, pages, most_bytes)
    bands = [each.asarray(squeeze=False, maxworkers=1)[:, 0] for each in pages]  # (S, H, W, C)
    if len(bands) > 1 or bands[0].shape[0] > 1:  # one behind the other
        values = np.moveaxis(np.concatenate([each[..., 0] for each in bands]), 0, -1)
    else:
        values = bands[0][0]
    if page.photometric == 0 and values.dtype.kind == "u":  # white is 0
        values = np.iinfo(values.dtype).max - values
    count = values.shape[2] - sum(kind in _ALPHA for kind in page.extrasamples)
    colours = 3 if page.photometric == 2 else count if grey and count in (1, 3) else 0
    no_data = None
    with contextlib.suppress(ValueError):
        no_data = float(str(page.tags.valueof(_GDAL_NODATA, "")).strip("\0 "))
    return Raster(values, colours, no_data, orientation=tiff_size(tiff)[2])


def _bands_in_pages(tiff: TiffFile) -> list[Any]:
    """The first page and those like it, at most MOST_PAGES; a chain may be a ring."""
    first: Any = tiff.pages.first
    pages = {first.offset: first}
    for number in range(1, MOST_PAGES):
        try:
            page: Any = tiff.pages[number]
        except IndexError:
            break
        if page.offset in pages:
            break
        pages[page.offset] = page
    like = ("shaped", "dtype", "compression", "photometric")
    return [
        page
        for page in pages.values()
        if all(getattr(page, name) == getattr(first, name) for name in like)
    ]


def _check_pages(tiff: TiffFile, pages: list[Any], most_bytes: int) -> None:
    """Raises ValueError where the file cannot hold what its header claims, before it is decoded."""
    page, size = pages[0], tiff.filehandle.size
    if page.compression not in _OF_BYTES | _OF_PICTURES:
        raise ValueError(f"its compression {page.compression!s} is not read; use deflate")
    if 0 in page.shaped or page.shaped[1] > 1 or page.tiledepth > 1:
        raise ValueError(f"its axes are {page.axes}, {page.shape}")
    needed = math.prod(page.chunked)
    if any(min(len(one.dataoffsets), len(one.databytecounts)) < needed for one in pages):
        raise ValueError(f"its header names fewer than its {needed} strips or tiles")
    padded = len(pages) * needed * math.prod(page.chunks) * page.dtype.itemsize
    if padded > most_bytes:
        raise ValueError(f"its numbers take {padded / 1e9:.1f} GB")
    parts = [
        part for one in pages for part in zip(one.dataoffsets, one.databytecounts, strict=False)
    ]
    if any(offset + count > size for offset, count in parts):
        raise ValueError("its strips or tiles go beyond the end of the file")
    stored = sum(count for _, count in parts)
    numbers = len(pages) * math.prod(page.shaped)
    # GDAL leaves out parts without data
    if (
        page.compression == 1
        and all(one[1] for one in parts)
        and stored < numbers * _bits(page) // 8
    ):
        raise ValueError(f"its numbers need more than the {stored:,} bytes of its strips or tiles")
    check_claim(padded, stored)
    if page.compression in _OF_PICTURES:
        for offset, count in parts:
            tiff.filehandle.seek(offset)
            with Image.open(io.BytesIO(tiff.filehandle.read(count))) as picture:
                if math.prod(picture.size) > math.prod(page.chunks):
                    raise ValueError("it has a tile larger than its header says")


def _bits(page: Any) -> int:  # noqa: ANN401 - a TiffPage, whose attributes have no types
    bits = page.bitspersample
    return min(bits) if isinstance(bits, tuple) else int(bits)
