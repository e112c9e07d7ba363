"""Small copies of images, to store and to send."""

from __future__ import annotations

import io

from PIL import Image


def small_jpeg(image: Image.Image, longest: int) -> bytes:
    """A JPEG of an RGB image, its longer side at most ``longest`` pixels, without metadata.

    ``image`` itself is made so small.
    """
    image.thumbnail((longest, longest))
    image.info.clear()  # where Pillow keeps comments and places, and writes them again
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85, optimize=True)
    return file.getvalue()
