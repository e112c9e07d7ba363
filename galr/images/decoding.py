"""An image file -> upright 8-bit RGB -> a square: the one decoder of the project."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from galr.common.errors import UserError
from galr.common.quiet import without_warnings
from galr.images.lean_files import lean_file
from galr.images.raster import Raster, check_claim, file_size, other_raster
from galr.images.scaling import Scaling
from galr.images.tiff import open_tiff, tiff_raster, tiff_size

logger = logging.getLogger(__name__)

# No format whose reader starts another program (PostScript) or follows paths inside the file.
FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
# A scene of the data sets has below a million pixels; a small file may claim to hold billions.
MAX_PIXELS = 100_000_000
BYTES_A_PIXEL = 8  # at most, of the numbers of a sensor, for as many pixels as are admitted
# Of 1,500 scenes of RSICD the flattest has 37 of the 256 values between these two percentiles.
NEARLY_CONSTANT = 16

# what a range is measured by: the usual cut of GIS programs
PERCENTILES = (1, 99)
MEASURED_IMAGES, MEASURED_PIXELS = 200, 10_000
THINNED_FROM = 4_000_000  # pixels
# a progressive JPEG may go over its pixels thousands of times
MOST_SCANNED = 15 * MAX_PIXELS

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

AS_IT_IS = Scaling()


def decode_image(
    path: str | Path | IO[bytes], scaling: Scaling = AS_IT_IS, *, most: int | None = None
) -> Image.Image:
    """The first image of an image file, or of its bytes, as RGB with 8 bits a channel.

    It is upright: an orientation in its metadata (EXIF) is applied, and other metadata ignored.
    Transparency is dropped and grey is repeated. Images of more bits or bands go by ``scaling``,
    which belongs to a data set. Raises UserError for a file that is missing, is no image, is
    damaged, has numbers that ``scaling`` does not tell how to show, or claims more than ``most``
    (MAX_PIXELS) pixels, which is seen before they are decoded.
    """
    with _opened(path) as (place, file):
        read = _read(place, file, MAX_PIXELS if most is None else most)
        if isinstance(read, Image.Image):
            if not scaling.bands and scaling.no_data is None:
                return read
            read = Raster(np.array(read), 3)
        assert read is not None
        return _turned(Image.fromarray(scaling.rgb(read, place)), read.orientation)


def upright_rgb(image: Image.Image) -> Image.Image:
    """An 8-bit image of Pillow as RGB, turned as its metadata says."""
    with without_warnings():  # of odd metadata
        image.load()
    # Pillow turns a TIFF as it loads it, and no other format
    orientation = 1 if image.format == "TIFF" else _orientation(image)
    if image.mode == "P" and "transparency" in image.info:
        # straight to RGB would warn
        image = image.convert("RGBA")
    return _turned(image.convert("RGB"), orientation)


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    method = _UPRIGHT.get(orientation)
    return image if method is None else image.transpose(method)


def image_size(path: str | Path) -> tuple[int, int]:
    """Width and height in pixels of the upright image, by the file's header alone.

    Raises UserError where it has none.
    """
    with _opened(path) as (_, file):
        with open_tiff(file) as tiff:
            if tiff is not None:
                width, height, orientation = tiff_size(tiff)
                return (height, width) if orientation >= 5 else (width, height)
        with _pillow(file) as image:
            width, height = image.size
            return (height, width) if _orientation(image) >= 5 else (width, height)


def resize_to_square(image: Image.Image, side: int) -> NDArray[np.uint8]:
    """An RGB image -> (side, side, 3), bilinear with antialiasing, ignoring the aspect ratio.

    This is what torchvision's ``Resize((side, side))`` does to a PIL image.
    """
    if image.size != (side, side):
        image = image.resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(image)


def is_nearly_constant(pixels: NDArray[np.uint8] | Image.Image) -> bool:
    """Whether an image is nearly of one value, as one that is scaled by a wrong range."""
    low, high = np.percentile(np.asarray(pixels)[::4, ::4], (1, 99))
    return bool(high - low < NEARLY_CONSTANT)


def warn_of_constant(names: Sequence[str], total: int) -> None:
    """Warns of ``names``, the images of ``total`` that are nearly of one value."""
    if names:
        told = "%d of %d images are nearly constant, for example %s: check dataset.pixel_range"
        logger.warning(told, len(names), total, names[0])


def measured(
    scaling: Scaling, folder: str | Path, names: Sequence[str], what: str | Path
) -> Scaling:
    """``scaling`` with the range of the numbers of images, where these have more than 8 bits.

    It is that of the percentiles 1 and 99 over MEASURED_IMAGES of ``names``, evenly spaced; a line
    in the log tells it of ``what``.
    """
    if scaling.pixel_range is not None:
        return scaling
    found = []
    for index in np.unique(np.linspace(0, len(names) - 1, MEASURED_IMAGES).astype(int)):
        path = Path(folder, names[index])
        with contextlib.suppress(UserError), _opened(path) as (place, file):  # met again later
            raster = _read(place, file, MAX_PIXELS, decode=False)
            if isinstance(raster, Raster) and raster.values.dtype != np.uint8:
                step = math.isqrt(max(1, math.prod(raster.values.shape[:2]) // THINNED_FROM))
                thinned = raster._replace(values=raster.values[::step, ::step])
                values, missing = scaling.chosen(thinned, place)
                values = values[~missing]
                values = values[:: len(values) // MEASURED_PIXELS + 1]
                found.append(values.astype(np.float64).reshape(-1))
    if not any(map(len, found)):
        return scaling
    low, high = (float(f"{x:.6g}") for x in np.percentile(np.concatenate(found), PERCENTILES))
    high = high if high > low else low + 1  # constant images
    logger.info(
        "%s: numbers from %g to %g (percentiles 1 and 99 of %d images) become 0 to 255; "
        "dataset.pixel_range names others", what, low, high, len(found),
    )  # fmt: skip
    return scaling._replace(pixel_range=(low, high))


@contextlib.contextmanager
def _opened(path: str | Path | IO[bytes]) -> Iterator[tuple[str | Path, IO[bytes]]]:
    """What errors call the file, and the file; whatever a decoder raises becomes a UserError."""
    place = path if isinstance(path, str | Path) else "the image"
    try:
        with contextlib.ExitStack() as stack:
            if isinstance(path, str | Path):
                yield place, stack.enter_context(open(path, "rb"))
            else:
                yield place, path
    except UserError:
        raise
    except Image.DecompressionBombError as error:  # Pillow's own limit
        raise UserError(
            place, f"has too many pixels ({error})", "cut the image into smaller scenes"
        ) from None
    except FileNotFoundError:
        raise UserError(
            place, "there is no such image file", "correct the list of images or the folder"
        ) from None
    except UnidentifiedImageError:
        raise UserError(
            place, "is not an image of a known kind", f"give one of {', '.join(FORMATS)}"
        ) from None
    except Exception as error:  # noqa: BLE001 - the decoders raise almost anything on bad bytes
        raise UserError(
            place, f"cannot be decoded ({error})", "the file is damaged: get it again"
        ) from None


def _read(
    place: str | Path, file: IO[bytes], most: int, *, decode: bool = True
) -> Raster | Image.Image | None:
    """The numbers of a sensor, else upright RGB or, without ``decode``, None."""
    with open_tiff(file) as tiff:
        if tiff is not None:
            width, height, _ = tiff_size(tiff)
            _check_size(place, width, height, most)
            check_claim(width * height, file_size(file))
            raster = tiff_raster(tiff, BYTES_A_PIXEL * most)
            if raster is not None:
                return raster
    with _pillow(file) as image:
        _check_size(place, image.width, image.height, most)
        check_claim(image.width * image.height, file_size(file))
        if decode and image.info.get("progressive"):
            _check_scans(file, image)
        raster = other_raster(image)
        if raster is not None:
            return raster._replace(orientation=_orientation(image))
        return upright_rgb(image) if decode else None


def _check_size(place: str | Path, width: int, height: int, most: int) -> None:
    if width * height > most:
        raise UserError(
            place,
            f"has {width} x {height} pixels, more than {most:,}",
            "cut the image into smaller scenes",
        )


def _check_scans(file: IO[bytes], image: Image.Image) -> None:
    place = file.tell()
    file.seek(0)
    scans = file.read().count(b"\xff\xda")
    file.seek(place)
    if scans * image.width * image.height > MOST_SCANNED:
        raise ValueError(f"it has {scans} scans of {image.width} x {image.height} pixels")


def _pillow(file: IO[bytes]) -> ImageFile:
    file = lean_file(file)
    # too many pixels is judged here; odd metadata does not matter to the pixels
    with without_warnings():
        return Image.open(file, formats=FORMATS)


def _orientation(image: Image.Image) -> int:
    """1 to 8 as in EXIF; 1 where the metadata does not say so or is damaged."""
    if image.format != "PNG" and not image.info.keys() & {"exif", "xmp"}:  # PNG's may come last
        return 1
    with without_warnings():
        try:
            orientation = int(image.getexif().get(274, 1))
            return orientation if 1 <= orientation <= 8 else 1
        except Exception:  # noqa: BLE001 - the readers raise almost anything on bad bytes
            return 1
