"""Salient regions of an image, without a detector.

The image is segmented by colour (Felzenszwalb and Huttenlocher 2004); each segment is scored by the
colour contrast with its surroundings and described by colour, texture and shape.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage.color import rgb2lab
from skimage.segmentation import felzenszwalb
from torchvision.ops import box_area, nms

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

SIDE = 256  # longer side at which an image is segmented, in pixels
SCALES = (50, 200)  # of the segmentation, for small and large regions
SMALLEST, LARGEST = 0.0008, 0.4  # as a fraction of the image
MOST = 60  # most prominent regions per image
CONTRAST = 20.0  # colour difference (CIE Lab) with a score of one half
SAME = 0.7  # intersection over union of boxes above which the weaker region is dropped
DESCRIPTORS = 12


class Regions(NamedTuple):
    """Regions of an image: scores (M,), boxes (M, 4) in pixels, descriptors (M, 12)."""

    scores: Floats
    boxes: Floats
    descriptors: Floats


def find_regions(picture: Image.Image) -> Regions:
    """The salient regions, the most prominent first; deterministic."""
    shrink = max(max(picture.size) / SIDE, 1.0)
    small = picture.resize([max(round(side / shrink), 1) for side in picture.size])
    rgb = np.asarray(small)
    lab = rgb2lab(rgb)
    parts = [_regions_of(lab, _cut(rgb, scale)) for scale in SCALES]
    scores, boxes, descriptors = (np.concatenate(part) for part in zip(*parts, strict=True))
    corners = torch.from_numpy(boxes)
    prominence = torch.from_numpy(scores) * box_area(corners).sqrt()
    order = nms(corners, prominence, SAME)[:MOST].numpy()
    ratio = np.array(picture.size) / small.size
    return Regions(scores[order], boxes[order] * np.tile(ratio, 2), descriptors[order])


def _cut(rgb: NDArray[np.uint8], scale: int) -> Labels:
    labels: Labels = felzenszwalb(rgb, scale=scale, sigma=0.8, min_size=20)
    return labels


def _regions_of(lab: Floats, labels: Labels) -> tuple[Floats, Floats, Floats]:
    """Scores, boxes and descriptors of the segments of plausible size."""
    areas = np.bincount(labels.ravel()).astype(np.float64)
    boxes = np.array(
        [(x.start, y.start, x.stop, y.stop) for y, x in ndimage.find_objects(labels + 1)]
    )
    likely = (areas >= SMALLEST * labels.size) & (areas <= LARGEST * labels.size)
    colours = np.stack([_sums(channel, labels) for channel in np.moveaxis(lab, 2, 0)], axis=1)
    outside, count = _around(lab, boxes)
    outside, count = outside - colours, count - areas
    chosen = np.flatnonzero(likely & (count > 0))
    difference = colours[chosen] / areas[chosen, None] - outside[chosen] / count[chosen, None]
    contrast = np.sqrt(np.square(difference).sum(axis=1))
    descriptors = _descriptors(lab, labels, areas, boxes)[chosen]
    return contrast / (contrast + CONTRAST), boxes[chosen].astype(np.float64), descriptors


def _sums(values: Floats, labels: Labels) -> Floats:
    """Sum of ``values`` (H, W) over each segment."""
    return np.asarray(np.bincount(labels.ravel(), values.ravel()), dtype=np.float64)


def _around(lab: Floats, boxes: Labels) -> tuple[Floats, Floats]:
    """Sum of colours (M, 3) and pixels (M,) in boxes enlarged by half their size on each side."""
    height, width = lab.shape[:2]
    integral = np.zeros((height + 1, width + 1, 3))
    integral[1:, 1:] = lab.cumsum(axis=0).cumsum(axis=1)
    more = np.maximum((boxes[:, 2:] - boxes[:, :2]) // 2, 4)
    left, top = np.maximum(boxes[:, :2] - more, 0).T
    right, bottom = np.minimum(boxes[:, 2:] + more, [width, height]).T
    colours = (
        integral[bottom, right]
        - integral[top, right]
        - integral[bottom, left]
        + integral[top, left]
    )
    return colours, ((right - left) * (bottom - top)).astype(np.float64)


def _descriptors(lab: Floats, labels: Labels, areas: Floats, boxes: Labels) -> Floats:
    """Descriptors of the segments (M, 12).

    Mean and deviation of the three colours; mean and deviation of the lightness gradient; log of
    the fraction of the image, log of the aspect ratio, fraction of its box, fraction of pixels on
    its border.
    """
    lightness = lab[..., 0]
    gradient = np.hypot(ndimage.sobel(lightness, axis=0), ndimage.sobel(lightness, axis=1))
    y, x = np.indices(labels.shape, dtype=np.float64)
    values = [*np.moveaxis(lab, 2, 0), gradient, x, y]
    means = [_sums(value, labels) / areas for value in values]
    centred = [value - mean[labels] for value, mean in zip(values, means, strict=True)]
    variances = [_sums(np.square(value), labels) / areas for value in centred]
    deviations = np.sqrt(variances)
    # spread along and across; a pixel is not a point
    xx, yy = variances[4] + 1 / 12, variances[5] + 1 / 12
    xy = _sums(centred[4] * centred[5], labels) / areas
    half, root = (xx + yy) / 2, np.sqrt(np.square((xx - yy) / 2) + np.square(xy))
    slenderness = np.log((half + root) / np.maximum(half - root, 1e-3)) / 2
    padded = np.pad(labels, 1, constant_values=-1)
    border = np.zeros(labels.shape, dtype=bool)
    for rows, columns in ((0, 1), (2, 1), (1, 0), (1, 2)):
        neighbour = padded[rows : rows + labels.shape[0], columns : columns + labels.shape[1]]
        border |= neighbour != labels
    filled = areas / (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    shape = [np.log(areas / labels.size), slenderness, filled, _sums(border * 1.0, labels) / areas]
    colours = [*means[:3], *deviations[:3], means[3], deviations[3]]
    return np.stack([*colours, *shape], axis=1)
