"""DREA: denoised representation and enhanced adjacency of an image's objects.

The paper (section on the local branch) describes its purpose: redundant objects, whose features are
highly similar, are filtered out, and prominent ones are strengthened. It gives neither constants
nor code, so the construction is ours; docs/drea.md has the formulas.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from galr.local_features.classes import class_indices
from galr.local_features.detections import Detections
from galr.options import DreaOptions, Options

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

BLOCK = 512  # detections compared with each other at a time


def build_local_features(
    detections: Detections, options: DreaOptions | Options | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The objects of an image -> representation (N, F), adjacency (N, N).

    ``options``: DREA options, or those of an experiment (``dataset.drea``); None: the defaults. F
    is the number of classes plus five. Rows beyond the kept objects are zero. Raises ValueError for
    classes that are not in ``options``.
    """
    if options is None:
        options = DreaOptions()
    if isinstance(options, Options):
        options = options.dataset.drea
    representation = np.zeros((options.objects, options.features), dtype=np.float32)
    adjacency = np.zeros((options.objects, options.objects), dtype=np.float32)
    rows, centres, prominence, _ = kept_objects(detections, options)
    kept = len(rows)
    if kept:
        reach = options.radius * float(np.hypot(detections.width, detections.height))
        gain = options.gain if options.enhance else 0.0
        representation[:kept] = rows
        adjacency[:kept, :kept] = _adjacency(centres / reach, prominence, gain)
    return representation, adjacency


def kept_objects(
    detections: Detections, options: DreaOptions
) -> tuple[Floats, Floats, Floats, Indices]:
    """The K objects kept by DREA, in its order.

    Rows (K, F), centres in pixels (K, 2), prominence (K,) in 0..1, and their detection indices.
    """
    classes = class_indices(detections.classes, options.classes)
    candidates = np.flatnonzero(detections.scores >= options.min_score)
    if len(candidates) == 0:
        empty = np.zeros(0)
        return np.zeros((0, options.features)), np.zeros((0, 2)), empty, candidates
    boxes, scores = detections.boxes[candidates], detections.scores[candidates]
    size = np.array([detections.width, detections.height])
    sides = (boxes[:, 2:] - boxes[:, :2]) / size  # (M, 2), relative to the image
    prominence = scores * np.sqrt(sides[:, 0] * sides[:, 1])
    # a stable sort leaves ties in the order of the input
    order = np.argsort(-(prominence if options.denoise else scores), kind="stable")
    prominence /= prominence.max() or 1.0
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    rows = np.zeros((len(candidates), options.features))
    rows[np.arange(len(candidates)), classes[candidates]] = 1.0
    rows[:, -5:-3], rows[:, -3:-1], rows[:, -1] = centres / size, sides, scores
    if options.denoise:
        order = order[_denoised(rows[order], classes[candidates][order], options)]
    order = order[: options.objects]
    return rows[order], centres[order], prominence[order], candidates[order]


def _denoised(rows: Floats, classes: Indices, options: DreaOptions) -> list[int]:
    """Which rows (M, F), the most prominent first, duplicate no earlier kept one."""
    directions = rows / np.sqrt(np.square(rows).sum(axis=1, keepdims=True))
    kept: list[int] = []
    for start in range(0, len(rows), BLOCK):
        block = np.arange(start, min(start + BLOCK, len(rows)))

        def repeats(others: Indices, block: Indices = block) -> NDArray[np.bool_]:
            # rounding must not raise the cosine of equal rows above 1
            cosine = np.minimum(directions[others] @ directions[block].T, 1.0)
            same_class = classes[others][:, None] == classes[block]
            return np.asarray((cosine > options.max_similarity) & same_class)

        dropped = np.any(repeats(np.array(kept, dtype=np.int64)), axis=0)
        # pairs are sorted, so whether the first object is kept is already known
        for first, second in np.argwhere(np.triu(repeats(block), k=1)).tolist():
            if not dropped[first]:
                dropped[second] = True
        kept += block[~dropped].tolist()
        if len(kept) >= options.objects:
            break
    return kept


def _adjacency(centres: Floats, prominence: Floats, gain: float) -> Floats:
    """Centres (K, 2) in units of the radius, prominence (K,) -> (K, K), normalised."""
    offsets = centres[:, None] - centres[None]
    proximity = np.exp(-np.square(offsets).sum(axis=2) / 2)
    weight = np.sqrt(prominence)
    enhanced = proximity * (1 + gain * weight[:, None] * weight[None])
    # Kipf and Welling 2017, section 2; an object is its own neighbour, so no degree is 0
    inverse_root = 1 / np.sqrt(enhanced.sum(axis=1))
    normalised: Floats = enhanced * (inverse_root[:, None] * inverse_root[None])
    return normalised
