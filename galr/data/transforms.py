"""Training and evaluation transforms: torchvision's, with their random numbers as arguments."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as v2

from galr.options import AugmentOptions

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
NO_AUGMENTATION = AugmentOptions()

# the random numbers that place and recolour take
PLACING, COLOURING = 5, 5


class Placement(NamedTuple):
    """How a training image is rotated and cropped."""

    angle: float  # degrees, counter-clockwise
    left: int  # of the crop, in pixels of the image
    top: int
    window: int  # its side before it is resized
    symmetry: int = 0  # 0..3: right angles; 4..7: mirrored first


def place(
    draws: NDArray[np.float64],
    resized: int,
    side: int,
    degrees: float,
    augment: AugmentOptions = NO_AUGMENTATION,
) -> Placement:
    """PLACING uniform numbers in [0, 1) -> a rotation by 0 to ``degrees`` and the crop's position.

    Without ``augment`` the distribution of torchvision's ``RandomRotation((0, degrees))`` and
    ``RandomCrop(side)`` on an image of ``resized`` x ``resized`` pixels.
    """
    symmetry = int(draws[3] * 8) if augment.right_angles else 0
    window = side
    if augment.crop_scale is not None:
        area = augment.crop_scale + draws[4] * (1 - augment.crop_scale)
        window = round(math.sqrt(area) * resized)
    places = resized - window + 1
    left, top = int(draws[1] * places), int(draws[2] * places)
    return Placement(draws[0] * degrees, left, top, window, symmetry)


def rotate_and_crop(image: NDArray[np.uint8], placement: Placement, out: NDArray[np.uint8]) -> None:
    """Rotates ``image`` (S, S, 3) about its centre and writes the crop to ``out`` (s, s, 3).

    By torchvision's ``rotate`` (nearest neighbour, black outside) and ``resized_crop``.
    """
    picture, side = Image.fromarray(image), out.shape[0]
    if placement.angle:
        picture = v2.rotate(picture, placement.angle)
    window = placement.window
    picture = v2.resized_crop(picture, placement.top, placement.left, window, window, [side, side])
    pixels = np.asarray(picture)
    if placement.symmetry >= 4:
        pixels = pixels[:, ::-1]
    out[...] = np.rot90(pixels, placement.symmetry % 4)


def recolour(pixels: NDArray[np.uint8], draws: NDArray[np.float64], strength: float) -> None:
    """Changes brightness, contrast and saturation of ``pixels`` (s, s, 3), in place.

    Three of COLOURING uniform numbers in [0, 1) become factors from 1 - ``strength`` to
    1 + ``strength``, as in torchvision's ``ColorJitter``.
    """
    brightness, contrast, saturation = 1 + strength * (2 * draws[:3] - 1)
    picture = torch.from_numpy(pixels).permute(2, 0, 1)
    picture = v2.adjust_contrast(v2.adjust_brightness(picture, brightness), contrast)
    picture = v2.adjust_saturation(picture, saturation)
    pixels[...] = picture.permute(1, 2, 0).numpy()


def normalise(images: Tensor) -> Tensor:
    """uint8 images (B, 3, S, S) -> float32, (value / 255 - mean) / std by ImageNet's statistics.

    Runs on the device of the images, so that bytes are copied there and not floats. Keeps the
    memory format.
    """
    if images.dtype != torch.uint8 or images.dim() != 4 or images.shape[1] != 3:
        raise ValueError(
            f"images must be (B, 3, S, S) uint8, got {tuple(images.shape)} {images.dtype}"
        )
    floats = v2.to_dtype(images, torch.float32, scale=True)
    normalised: Tensor = v2.normalize(floats, [*IMAGENET_MEAN], [*IMAGENET_STD], inplace=True)
    return normalised
