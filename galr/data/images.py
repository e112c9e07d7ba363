"""An image file -> RGB -> a square of uint8, the way the released code's transforms see it."""

from __future__ import annotations

import threading
import warnings
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from galr.common.errors import UserError

# No format whose reader starts another program (PostScript) or follows paths inside the file.
FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
# A scene of the data sets has below a million pixels; a small file may claim to hold billions.
MAX_PIXELS = 100_000_000

# warnings.catch_warnings changes a global state: one thread at a time
_warnings_lock = threading.Lock()


def decode_image(path: str | Path | IO[bytes], most: int | None = None) -> Image.Image:
    """The first picture of an image file, or of its bytes, as RGB with 8 bits a channel.

    Transparency is dropped, grey is repeated, and 16 bits become 8 (``eight_bits``). Raises
    UserError for a file that is missing, is no image, is damaged or claims more than ``most``
    (MAX_PIXELS) pixels, which is seen before they are decoded.
    """
    place = path if isinstance(path, str | Path) else "the image"
    most = MAX_PIXELS if most is None else most
    try:
        with _open_quietly(path) as image:
            width, height = image.size
            if width * height > most:
                raise UserError(
                    place,
                    f"has {width} x {height} pixels, more than {most:,}",
                    "cut the image into smaller scenes",
                )
            image.load()
            return _rgb(image)
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


def resize_to_square(image: Image.Image, side: int) -> NDArray[np.uint8]:
    """An RGB image -> (side, side, 3), bilinear with antialiasing, proportions not kept.

    This is what torchvision's ``Resize((side, side))`` does to a PIL image.
    """
    if image.size != (side, side):
        image = image.resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(image)


def eight_bits(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Grey values of any range -> uint8, by a scale that is the same for all alike images.

    Values up to 255 stay; up to 4095 (the 12 bits of many sensors) are divided by 4095 / 255;
    larger ones by 65535 / 255. Real numbers up to 1 are multiplied by 255. What lies outside is
    clipped, and what is no number becomes 0.
    """
    floats = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
    largest = floats.max(initial=0.0)
    if np.issubdtype(values.dtype, np.floating) and largest <= 1.0:
        scale = 255.0
    elif largest <= 255:
        scale = 1.0
    else:
        scale = 255 / 4095 if largest <= 4095 else 255 / 65535
    return np.rint(np.clip(floats * scale, 0, 255)).astype(np.uint8)


def _open_quietly(path: str | Path | IO[bytes]) -> Image.Image:
    with _warnings_lock, warnings.catch_warnings():
        # too many pixels is judged by decode_image; odd metadata does not matter to the pixels
        warnings.simplefilter("ignore")
        return Image.open(path, formats=FORMATS)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        return Image.fromarray(eight_bits(np.asarray(image))).convert("RGB")
    if image.mode == "P":
        # straight to RGB would warn of a palette with transparency
        image = image.convert("RGBA")
    return image.convert("RGB")
