"""Images as Python programs have them (files, PIL images, arrays, tensors) -> squares of uint8."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from galr.common.errors import UserError
from galr.data.images import decode_image, eight_bits, resize_to_square, to_rgb

Picture = str | Path | Image.Image | NDArray[Any] | Tensor
"""A file, a PIL image, an array (H, W, 3) or a tensor (3, H, W) of pixels."""


def list_of_pictures(images: Picture | Sequence[Picture]) -> list[Picture]:
    """One picture, or a sequence or batch of them, as a list."""
    if isinstance(images, str | Path | Image.Image):
        return [images]
    if isinstance(images, np.ndarray | Tensor) and images.ndim < 4:
        return [images]
    return list(images)


def square_pixels(picture: Picture, side: int, place: str) -> NDArray[np.uint8]:
    """A picture of any size -> (side, side, 3), as the model's images are made of files.

    ``place`` names the picture in messages. Raises UserError for a file that ``decode_image``
    refuses, and for what holds no pixels or normalised ones.
    """
    if isinstance(picture, str | Path):
        image = decode_image(picture)
    elif isinstance(picture, Image.Image):
        image = to_rgb(picture)
    else:
        image = Image.fromarray(_pixels(picture, place))
    return resize_to_square(image, side)


def _pixels(picture: NDArray[Any] | Tensor, place: str) -> NDArray[np.uint8]:
    """(H, W, 3) of an array (H, W, 3) or a tensor (3, H, W)."""
    remedy = "give an array (H, W, 3) or a tensor (3, H, W) of pixels that are not normalised"
    if isinstance(picture, Tensor):
        tensor = picture.detach().cpu()
        pixels = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
        pixels = np.moveaxis(pixels, 0, -1) if pixels.ndim == 3 else pixels
    else:
        pixels = np.asarray(picture)
    if pixels.ndim != 3 or pixels.shape[-1] != 3 or pixels.size == 0:
        raise UserError(place, f"has the shape {tuple(np.shape(picture))}", remedy)
    if pixels.dtype.kind not in "biuf" or not np.isfinite(pixels).all() or pixels.min() < 0:
        raise UserError(place, "holds negative numbers, NaN or infinity", remedy)
    return eight_bits(pixels)
