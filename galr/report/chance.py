"""What a random order of the candidates would reach."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from galr.metrics.retrieval import RECALLS_AT

Floats = NDArray[np.float64]


def chance_curves(caption_to_image: NDArray[np.int64], most: int) -> dict[str, Floats]:
    """Expected recall in percent at 1..most: i2t and t2i, each (most,).

    An image with m of C captions has one of them among the first k with the probability
    1 - (C-m)/C * (C-m-1)/(C-1) * ... (k factors); a caption its image with k/I.
    """
    captions = len(caption_to_image)
    own, images = np.unique(np.bincount(caption_to_image), return_counts=True)
    drawn = np.arange(most)
    missed = np.clip(captions - own[:, None] - drawn, 0, None) / np.maximum(captions - drawn, 1)
    found = 1 - np.cumprod(missed, axis=1)  # (distinct m, most)
    return {
        "i2t": 100 * np.average(found, axis=0, weights=images),
        "t2i": 100 * np.minimum((drawn + 1) / images.sum(), 1),
    }


def chance_recall(caption_to_image: NDArray[np.int64]) -> list[float]:
    """R@1, R@5, R@10 of i2t, the same of t2i, and their mean."""
    curves = chance_curves(caption_to_image, max(RECALLS_AT))
    recalls = [float(curve[k - 1]) for curve in curves.values() for k in RECALLS_AT]
    return [*recalls, float(np.mean(recalls))]
