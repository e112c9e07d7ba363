"""Training and evaluation transforms on uint8 images; their random numbers are given to them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from galr.options import AugmentOptions

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
NO_AUGMENTATION = AugmentOptions()


# how many draws place and recolour take
PLACING, COLOURING = 5, 5


class Placement(NamedTuple):
    """How a training image is turned and cut."""

    angle: float  # degrees, counter-clockwise
    left: float  # of the window, in pixels of the image
    top: float
    window: float  # its side
    symmetry: int = 0  # 0..7: so many right angles, 4 more: mirrored before


def place(
    draws: NDArray[np.float64],
    resized: int,
    side: int,
    degrees: float,
    augment: AugmentOptions = NO_AUGMENTATION,
) -> Placement:
    """PLACING uniform numbers in [0, 1) -> a rotation by 0 to ``degrees`` and a place of the crop.

    Without ``augment`` the distribution of torchvision's ``RandomRotation((0, degrees))`` and
    ``RandomCrop(side)`` on an image of ``resized`` x ``resized`` pixels.
    """
    angle = draws[0] * degrees
    symmetry = int(draws[3] * 8) if augment.right_angles else 0
    if augment.crop_scale is None:
        places = resized - side + 1
        return Placement(angle, int(draws[1] * places), int(draws[2] * places), side, symmetry)
    area = augment.crop_scale + draws[4] * (1 - augment.crop_scale)
    window = math.sqrt(area) * resized
    room = resized - window
    return Placement(angle, draws[1] * room, draws[2] * room, window, symmetry)


def rotate_and_crop(image: NDArray[np.uint8], placement: Placement, out: NDArray[np.uint8]) -> None:
    """Turns ``image`` (S, S, 3) about its centre and writes the crop to ``out`` (s, s, 3).

    Rotation, crop and a change of size are one look-up per pixel of the crop, so nothing outside
    the crop is computed. Where the size stays, as ``RandomRotation`` does by default: the nearest
    pixel, black outside; otherwise bilinear.
    """
    centre = image.shape[0] / 2
    side = out.shape[0]
    scale = placement.window / side
    angle = math.radians(placement.angle)
    cos, sin = math.cos(angle), math.sin(angle)
    # output (x, y) -> input (cos x - sin y + c, sin x + cos y + f), relative to the centre
    x, y = placement.left - centre, placement.top - centre
    matrix = (
        scale * cos, -scale * sin, cos * x - sin * y + centre,
        scale * sin, scale * cos, sin * x + cos * y + centre,
    )  # fmt: skip
    sampling = Image.Resampling.NEAREST if scale == 1 else Image.Resampling.BILINEAR
    turned = Image.fromarray(image).transform(
        (side, side), Image.Transform.AFFINE, matrix, sampling
    )
    pixels = np.asarray(turned)
    if placement.symmetry >= 4:
        pixels = pixels[:, ::-1]
    out[...] = np.rot90(pixels, placement.symmetry % 4)


def recolour(pixels: NDArray[np.uint8], draws: NDArray[np.float64], strength: float) -> None:
    """Changes brightness, contrast and each colour of ``pixels`` (s, s, 3), in place.

    COLOURING uniform numbers in [0, 1) -> factors in 1 - ``strength`` to 1 + ``strength``:
    (value - mean) * contrast + mean, times brightness, times that of the channel.
    """
    brightness, contrast, *channels = 1 + strength * (2 * draws - 1)
    mean = pixels.mean()
    values = (np.arange(256) - mean) * contrast + mean
    # the channels may differ by half as much as all may together
    gains = brightness * (1 + np.array(channels)) / 2
    tables = np.clip(np.outer(gains, values), 0, 255).astype(np.uint8)
    for channel, table in enumerate(tables):
        pixels[..., channel] = table[pixels[..., channel]]


def normalise(images: Tensor) -> Tensor:
    """uint8 images (B, 3, S, S) -> float32, (value / 255 - mean) / std of ImageNet a channel.

    Runs where the images are, so that bytes and not floats travel to the device; the memory
    format is kept.
    """
    if images.dtype != torch.uint8 or images.dim() != 4 or images.shape[1] != 3:
        raise ValueError(
            f"images must be (B, 3, S, S) uint8, got {tuple(images.shape)} {images.dtype}"
        )
    mean, std = (torch.tensor(of, device=images.device) for of in (IMAGENET_MEAN, IMAGENET_STD))
    scale, shift = (1 / (255 * std)).view(3, 1, 1), (-mean / std).view(3, 1, 1)
    floats = torch.empty_like(images, dtype=torch.float32)
    source, target = images, floats
    if images.is_contiguous(memory_format=torch.channels_last):
        # pixel after pixel in memory: one loop over a row of them is faster than many over three
        source, target = (_rows(tensor) for tensor in (images, floats))
        scale, shift = (numbers.flatten().repeat(images.shape[3]) for numbers in (scale, shift))
    # a few at a time, so that the processor's cache still holds what the next operation reads
    for part, out in zip(torch.split(source, 4), torch.split(target, 4), strict=True):
        out.copy_(part).mul_(scale).add_(shift)
    return floats


def _rows(images: Tensor) -> Tensor:
    """(B, 3, S, S) in channels_last memory -> (B, S, 3 S), the same memory."""
    batch, channels, height, width = images.shape
    return images.permute(0, 2, 3, 1).view(batch, height, channels * width)
