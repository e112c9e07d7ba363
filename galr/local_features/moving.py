"""Transforms objects with their image: rotation, crop, mirroring and right-angle rotation.

Each row of a store contains the object's box, so both matrices of a view can be computed from those
of the image: steps 2, 3 and 5 of docs/drea.md for the boxes visible in the view.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from galr.options import DreaOptions

Floats = NDArray[np.float64]

# an object is kept if a view shows at least this fraction of its transformed box
VISIBLE = 0.25
SQUARE = 1e-3  # tolerance between the adjacency of a store and that of its boxes


class Movement(NamedTuple):
    """How B square images were transformed, in this order; all arrays are (B,)."""

    angle: Floats  # degrees counter-clockwise about the centre
    left: Floats  # of the crop, relative to the side
    top: Floats
    window: Floats  # its side, likewise
    symmetry: NDArray[np.int64]  # 0..3: quarter turns counter-clockwise; 4..7: mirrored first

    @classmethod
    def still(cls, images: int) -> Movement:
        """Unchanged images."""
        zeros = np.zeros(images)
        return cls(zeros, zeros, zeros, np.ones(images), np.zeros(images, np.int64))


def moved_objects(
    representation: NDArray[np.float32], movement: Movement, options: DreaOptions
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """representation (B, N, F) of square images -> that of their views, and adjacency (B, N, N).

    Hardly visible objects are dropped, boxes are clipped to the view, and objects are sorted in
    DREA's order again. Denoising is not repeated.
    """
    rows = representation.astype(np.float64)
    lowest, highest = _moved_bounds(rows, movement)
    area = np.prod(highest - lowest, axis=2)
    lowest, highest = np.clip(lowest, 0, 1), np.clip(highest, 0, 1)
    sides = highest - lowest  # (B, N, 2)
    seen = np.prod(sides, axis=2)
    kept = (seen > 0) & (seen >= VISIBLE * area)
    rows[:, :, -5:-3], rows[:, :, -3:-1] = (lowest + highest) / 2, sides
    rows[~kept] = 0
    prominence = rows[:, :, -1] * np.sqrt(np.prod(rows[:, :, -3:-1], axis=2))  # (B, N)
    rank = np.where(kept, prominence if options.denoise else rows[:, :, -1], -1)
    order = np.argsort(-rank, axis=1, kind="stable")
    rows = np.take_along_axis(rows, order[:, :, None], axis=1)
    prominence, kept = (np.take_along_axis(each, order, axis=1) for each in (prominence, kept))
    return rows.astype(np.float32), _adjacency(rows, prominence, kept, options)


def differing_image(
    representation: NDArray[np.float32], adjacency: NDArray[np.float32], options: DreaOptions
) -> int | None:
    """The first image whose adjacency is not that of its boxes in a square; None if all are."""
    _, own = moved_objects(representation, Movement.still(len(representation)), options)
    wrong = np.abs(own - adjacency).max(axis=(1, 2), initial=0) > SQUARE
    return int(wrong.argmax()) if wrong.any() else None


def _moved_bounds(rows: Floats, movement: Movement) -> tuple[Floats, Floats]:
    """Minimum and maximum coordinates (B, N, 2) of the moved corners, relative to the view."""
    centre, half = rows[:, :, None, -5:-3], rows[:, :, None, -3:-1] / 2
    corners = centre + half * np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]])  # (B, N, 4, 2)
    angle, left, top, window = (each[:, None, None] for each in movement[:4])
    x, y = corners[..., 0] - 0.5, corners[..., 1] - 0.5
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    # y points down
    x, y = x * cosine + y * sine + 0.5, y * cosine - x * sine + 0.5
    x, y = (x - left) / window, (y - top) / window
    symmetry = movement.symmetry[:, None, None]
    x = np.where(symmetry >= 4, 1 - x, x)
    for turn in (1, 2, 3):
        turned = symmetry % 4 >= turn
        x, y = np.where(turned, y, x), np.where(turned, 1 - x, y)
    points = np.stack([x, y], axis=3)
    return points.min(axis=2), points.max(axis=2)


def _adjacency(
    rows: Floats, prominence: Floats, kept: NDArray[np.bool_], options: DreaOptions
) -> NDArray[np.float32]:
    """As ``drea`` does for one image, for all at once."""
    reach = options.radius * np.sqrt(2)  # the diagonal of a square is the root of 2
    centres = rows[:, :, -5:-3] / reach
    offsets = centres[:, :, None] - centres[:, None]
    largest = prominence.max(axis=1, keepdims=True, initial=0)
    weight = np.sqrt(prominence / np.where(largest > 0, largest, 1))
    gain = options.gain if options.enhance else 0.0
    enhanced = np.exp(-np.square(offsets).sum(axis=3) / 2)
    enhanced *= 1 + gain * weight[:, :, None] * weight[:, None]
    enhanced *= kept[:, :, None] & kept[:, None]
    degree = enhanced.sum(axis=2)
    inverse_root = np.where(degree > 0, 1 / np.sqrt(np.where(degree > 0, degree, 1)), 0)
    normalised: Floats = enhanced * inverse_root[:, :, None] * inverse_root[:, None]
    return normalised.astype(np.float32)
