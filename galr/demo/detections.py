"""What a detector would say of a drawn scene: its objects with the errors that detectors make."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from galr.demo.canvas import Box
from galr.demo.choice import one_of
from galr.options.sections.drea import DOTA_CLASSES

MISSED = 0.06  # share of objects that are not found
REPEATED = 0.12  # share of objects that are found twice
FALSE_ALARMS = 0.25  # false detections an image, of low score mostly


def detection_lines(boxes: Sequence[Box], side: int, rng: np.random.Generator) -> list[str]:
    """Lines "class score xmin ymin width height" in pixels, as PaddleDetection saves them."""
    lines = []
    for box in boxes:
        if rng.random() < MISSED:
            continue
        lines.append(_line(box, float(rng.beta(14, 2)), side, rng))
        if rng.random() < REPEATED:
            lines.append(_line(box, float(rng.uniform(0.3, 0.7)), side, rng))
    for _ in range(rng.poisson(FALSE_ALARMS)):
        x, y = rng.uniform(5, 85, 2)
        width, height = rng.uniform(4, 12, 2)
        box = Box(one_of(rng, DOTA_CLASSES), x, y, x + width, y + height)
        lines.append(_line(box, float(rng.uniform(0.1, 0.45)), side, rng))
    return [lines[index] for index in rng.permutation(len(lines))]


def _line(box: Box, score: float, side: int, rng: np.random.Generator) -> str:
    corners = np.array([(box.xmin, box.ymin), (box.xmax, box.ymax)])
    jitter = rng.normal(0, 0.03, (2, 2)) * (corners[1] - corners[0])
    # a detector's box stays on the image and is a pixel large at least
    low, high = np.clip((corners + jitter) * (side / 100), 0, side)
    low, size = np.minimum(low, side - 1), np.maximum(high - low, 1)
    size = np.minimum(size, side - low)
    return f"{box.kind} {score:.4f} {low[0]:.2f} {low[1]:.2f} {size[0]:.2f} {size[1]:.2f}"
