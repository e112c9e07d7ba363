"""Where in a scene a sentence is: maps of probabilities for any number of queries at once.

After Yuan et al., "Learning to Evaluate Performance of Multimodal Semantic Localization" (IEEE
TGRS 2022): similarities of windows of several sizes, averaged over the windows that cover a pixel,
smoothed and scaled to 0..1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from galr.common.errors import UserError
from galr.localise.encode import encode_windows
from galr.localise.regions import Region, find_regions
from galr.localise.settings import WindowSettings
from galr.scenes.geography import check_coordinates
from galr.scenes.scene import Scene
from galr.scenes.windows import average_over_cover, cover
from galr.trained_model import TrainedModel

CELLS_A_WINDOW = 32  # across the smallest window: the map's resolution
SMOOTHING = 0.25  # standard deviation of the smoothing, as a share of the smallest window


@dataclass(frozen=True)
class QueryMap:
    """The answer to one query: probabilities (H, W) of cells in 0..1, NaN without data."""

    query: str
    probability: NDArray[np.float32]
    cell: int  # side of a cell, in pixels of the scene
    regions: list[Region]
    highest_similarity: float  # cosine of the best window


def localise(
    scene: Scene,
    queries: Sequence[str],
    encoder: TrainedModel,
    model_digest: str,
    folder: Path,
    settings: WindowSettings,
) -> list[QueryMap]:
    """The map of each query, from one encoding of the scene's windows.

    ``folder`` keeps the windows that are encoded until the caller forgets them
    (``forget_windows``). Raises UserError for queries without a known word, for scenes without
    data and for windows that do not fit.
    """
    for query in queries:
        if not encoder.knows_a_word(query):
            raise UserError(
                f"--text {query!r}", "contains no word that the model knows", "rephrase it"
            )
    check_coordinates(scene)  # before anything is encoded
    windows = cover(scene.width, scene.height, settings.sides, settings.overlap)
    embeddings = encode_windows(scene, windows, encoder, model_digest, folder, dense=settings.dense)
    usable = np.isfinite(embeddings).all(axis=1)
    if not usable.any():
        raise UserError(scene.path, "no window contains enough data", "check its nodata value")
    stored = torch.from_numpy(embeddings[usable])
    similarity = encoder.similarity(stored, encoder.encode_texts(queries)).T.numpy()
    smallest = int((windows[:, 2] - windows[:, 0]).min())
    cell = max(1, smallest // CELLS_A_WINDOW)
    means = average_over_cover(windows[usable], similarity, scene.width, scene.height, cell)
    maps = []
    for query, mean, own in zip(queries, means, similarity, strict=True):
        probability = _scaled(_smoothed(mean, SMOOTHING * smallest / cell))
        regions = find_regions(probability, settings.threshold, cell, scene)
        maps.append(QueryMap(query, probability, cell, regions, float(own.max())))
    return maps


def _smoothed(mean: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """A Gaussian mean over the cells with data; the others stay NaN."""
    known = np.isfinite(mean)
    weight = gaussian_filter(known.astype(np.float32), sigma)
    total = gaussian_filter(np.where(known, mean, 0).astype(np.float32), sigma)
    smoothed: NDArray[np.float32] = np.where(known, total / np.maximum(weight, 1e-6), np.nan)
    return smoothed.astype(np.float32)


def _scaled(smoothed: NDArray[np.float32]) -> NDArray[np.float32]:
    low, high = np.nanmin(smoothed), np.nanmax(smoothed)
    if high <= low:  # every window is alike: nothing stands out
        return np.where(np.isfinite(smoothed), 0.0, np.nan).astype(np.float32)
    scaled: NDArray[np.float32] = ((smoothed - low) / (high - low)).astype(np.float32)
    return scaled
