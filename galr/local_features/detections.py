"""The detections of one image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from galr.local_features.classes import stated_names

Corners = ArrayLike | Sequence[ArrayLike]


@dataclass(frozen=True, eq=False)
class Detections:
    """M detected objects in an image of ``width`` x ``height`` pixels.

    classes: M names, or M indices into the list of classes (``dataset.drea.classes``), or, with
    ``numbering`` (names in the order of their numbers, or by number), a detector's class numbers;
    scores: M numbers from 0 to 1; boxes, in pixels: (M, 4) left, top, right, bottom, or polygons
    (M, 8), (M, P, 2) or a list of M arrays (P, 2), which become the axis-aligned boxes around them,
    clipped to the image.

    >>> Detections(640, 480, ["ship", "harbor"], [0.9, 0.8], [[10, 20, 60, 50], [0, 0, 300, 90]])

    Raises ValueError for inconsistent shapes, class numbers without a name, scores outside 0..1,
    numbers that are not finite, and boxes without area inside the image.
    """

    width: float
    height: float
    classes: Sequence[str] | NDArray[np.int64]  # an array: indices into the list of classes
    scores: NDArray[np.float64]
    boxes: NDArray[np.float64]

    def __init__(
        self,
        width: float,
        height: float,
        classes: Sequence[int] | Sequence[str] | NDArray[np.int64],
        scores: ArrayLike,
        boxes: Corners,
        numbering: Sequence[str] | Mapping[int, str] | None = None,
    ) -> None:
        found = np.asarray(scores, dtype=np.float64)
        corners = bounds(boxes)
        if not (np.isfinite([width, height]).all() and width > 0 and height > 0):
            raise ValueError(f"an image must have a width and a height, got {width} x {height}")
        if found.shape != (len(classes),) or len(corners) != len(classes):
            raise ValueError(
                f"classes, scores and boxes must have the same length, got {len(classes)} "
                f"classes, scores {found.shape} and boxes of {len(corners)}"
            )
        clipped = clip(corners, width, height)
        problems = faults(found, corners, clipped)
        for row in np.flatnonzero(problems != ""):
            raise ValueError(f"object {row}: {problems[row]}")
        self._fill(width, height, stated_names(classes, numbering), found, clipped)

    @classmethod
    def of_checked(
        cls,
        size: tuple[float, float],
        classes: NDArray[np.int64],
        scores: NDArray[np.float64],
        boxes: NDArray[np.float64],
    ) -> Detections:
        """The same from clipped boxes without ``faults``, unchecked.

        ``classes``: indices into the list of classes of the options they are used with.
        """
        detections = cls.__new__(cls)
        detections._fill(*size, classes, scores, boxes)
        return detections

    def _fill(self, *values: object) -> None:
        for name, value in zip(self.__dataclass_fields__, values, strict=True):
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        """M, the number of objects."""
        return len(self.scores)


def bounds(boxes: Corners) -> NDArray[np.float64]:
    """Boxes (M, 4), polygons (M, 8), (M, P, 2) or M times (P, 2) -> (M, 4) around them."""
    if len(boxes) == 0:  # type: ignore[arg-type]  # a number has no length, and raises TypeError
        return np.zeros((0, 4))
    try:
        corners = np.asarray(boxes, dtype=np.float64)
    except ValueError:  # polygons of different numbers of points
        return np.concatenate([bounds([polygon]) for polygon in boxes])  # type: ignore[union-attr]
    if corners.ndim == 2 and corners.shape[1] == 4:
        return corners
    if corners.ndim == 2 and corners.shape[1] == 8:
        corners = corners.reshape(-1, 4, 2)
    if corners.ndim != 3 or corners.shape[2] != 2 or corners.shape[1] < 3:
        raise ValueError(f"boxes must be (M, 4), (M, 8) or (M, P, 2), got {corners.shape}")
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


def clip(boxes: NDArray[np.float64], width: float, height: float) -> NDArray[np.float64]:
    """The part of each box (M, 4) that lies inside the image."""
    clipped: NDArray[np.float64] = np.clip(boxes, 0.0, [width, height, width, height])
    return clipped


def faults(
    scores: NDArray[np.float64], boxes: NDArray[np.float64], clipped: NDArray[np.float64]
) -> NDArray[np.str_]:
    """The fault of each object, or an empty string. (M,), (M, 4), (M, 4)."""
    scored = (scores >= 0) & (scores <= 1)
    finite = np.isfinite(boxes).all(axis=1)
    seen = (clipped[:, 2] > clipped[:, 0]) & (clipped[:, 3] > clipped[:, 1])
    if (scored & finite & seen).all():
        return np.full(len(scores), "")
    sides = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    problems: NDArray[np.str_] = np.select(
        [~scored, ~finite, ~sides, ~seen],
        [
            "the score is not between 0 and 1",
            "the box is not finite",
            "the box has no area",
            "the box lies outside the image",
        ],
        "",
    )
    return problems
