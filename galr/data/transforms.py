"""Training and evaluation transforms on uint8 images; their random numbers are given to them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Placement(NamedTuple):
    """How a training image is turned and cut."""

    angle: float  # degrees, counter-clockwise
    left: int
    top: int


def place(draws: NDArray[np.float64], resized: int, side: int, degrees: float) -> Placement:
    """Three uniform numbers in [0, 1) -> a rotation by 0 to ``degrees`` and a place of the crop.

    The distribution of torchvision's ``RandomRotation((0, degrees))`` and ``RandomCrop(side)`` on
    an image of ``resized`` x ``resized`` pixels.
    """
    places = resized - side + 1
    return Placement(draws[0] * degrees, int(draws[1] * places), int(draws[2] * places))


def rotate_and_crop(image: NDArray[np.uint8], placement: Placement, out: NDArray[np.uint8]) -> None:
    """Turns ``image`` (S, S, 3) about its centre and writes the crop to ``out`` (s, s, 3).

    As ``RandomRotation`` does by default: the nearest pixel, black outside, the size kept. Both
    steps are one look-up per pixel of the crop, so nothing outside the crop is computed.
    """
    centre = image.shape[0] / 2
    angle = math.radians(placement.angle)
    cos, sin = math.cos(angle), math.sin(angle)
    # output (x, y) -> input (cos x - sin y + c, sin x + cos y + f), relative to the centre
    x, y = placement.left - centre, placement.top - centre
    matrix = (cos, -sin, cos * x - sin * y + centre, sin, cos, sin * x + cos * y + centre)
    side = out.shape[0]
    turned = Image.fromarray(image).transform(
        (side, side), Image.Transform.AFFINE, matrix, Image.Resampling.NEAREST
    )
    out[...] = np.asarray(turned)


def normalise(images: Tensor) -> Tensor:
    """uint8 images (B, 3, S, S) -> float32, (value / 255 - mean) / std of ImageNet a channel.

    Runs where the images are, so that bytes and not floats travel to the device; the memory
    format is kept.
    """
    if images.dtype != torch.uint8 or images.dim() != 4 or images.shape[1] != 3:
        raise ValueError(
            f"images must be (B, 3, S, S) uint8, got {tuple(images.shape)} {images.dtype}"
        )
    mean = torch.tensor(IMAGENET_MEAN, device=images.device).view(1, 3, 1, 1)
    std = torch.tensor(IMAGENET_STD, device=images.device).view(1, 3, 1, 1)
    return images.to(torch.float32).div_(255).sub_(mean).div_(std)
