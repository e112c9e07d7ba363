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
from galr.images.decoding import AS_IT_IS, decode_image, resize_to_square, upright_rgb
from galr.images.scaling import Scaling

ImageInput = str | Path | Image.Image | NDArray[Any] | Tensor
"""A file, a PIL image, an array (H, W, 3) or a tensor (3, H, W)."""
Picture = ImageInput  # its earlier name


def list_of_images(images: ImageInput | Sequence[ImageInput]) -> list[ImageInput]:
    """One image, or a sequence or batch of them, as a list."""
    if isinstance(images, str | Path | Image.Image):
        return [images]
    if isinstance(images, np.ndarray | Tensor) and images.ndim < 4:
        return [images]
    return list(images)


def square_pixels(
    given: ImageInput, side: int, place: str, scaling: Scaling = AS_IT_IS
) -> NDArray[np.uint8]:
    """An image of any size -> (side, side, 3), as the model's images are made of files.

    Arrays and tensors hold integers from 0 to 255 or real numbers from 0 to 1. ``place`` names the
    image in messages. Raises UserError for a file that ``decode_image`` refuses, and for other
    shapes and numbers.
    """
    if isinstance(given, str | Path):
        image = decode_image(given, scaling)
    elif isinstance(given, Image.Image) and not given.mode.startswith(("I", "F")):
        image = upright_rgb(given)
    else:
        image = Image.fromarray(_pixels(given, place))
    return resize_to_square(image, side)


def _pixels(given: ImageInput, place: str) -> NDArray[np.uint8]:
    """(H, W, 3) of an array (H, W, 3) or a tensor (3, H, W)."""
    remedy = "give an array (H, W, 3) or a tensor (3, H, W), uint8 or from 0 to 1"
    if isinstance(given, Tensor):
        tensor = given.detach().cpu()
        pixels = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
        pixels = np.moveaxis(pixels, 0, -1) if pixels.ndim == 3 else pixels
    else:
        pixels = np.asarray(given)
    if pixels.ndim != 3 or pixels.shape[-1] != 3 or pixels.size == 0:
        shape = tuple(given.shape) if isinstance(given, Tensor) else pixels.shape
        raise UserError(place, f"has the shape {shape}", remedy)
    most = {"u": 255, "i": 255, "f": 1}.get(pixels.dtype.kind, -1)
    if not (pixels.min() >= 0 and pixels.max() <= most):  # NaN is neither
        raise UserError(
            place, f"holds {pixels.dtype} from {pixels.min()} to {pixels.max()}", remedy
        )
    return np.rint(pixels * (255 / most)).astype(np.uint8)
