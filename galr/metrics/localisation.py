"""Semantic localisation: how well a map of probabilities finds the regions that a query means.

Rsu, Ras, Rda and Rmi as defined by Yuan et al., "Learning to Evaluate Performance of Multimodal
Semantic Localization", IEEE TGRS 2022, and IoU and average precision of the pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import maximum_filter
from scipy.spatial.distance import cdist
from skimage.measure import label, regionprops

Points = NDArray[np.float64]
Map = NDArray[np.float64]

SALIENCY_BETA = 0.707
EXPANSION = 1.5  # of a region's mean radius
SMOOTHINGS, SMOOTHING_SIDE = 5, 50  # box filters, pixels
PEAK_SIDE = 1000  # pixels: of several peaks in a square of this side, the highest counts
LOWEST_PEAK = 0.5  # probability
SHIFT_BETA = 3
DISCRETE_ETA = 0.5
WEIGHT_SU, WEIGHT_AS, WEIGHT_DA = 0.4, 0.35, 0.25


class LocalisationMetrics(NamedTuple):
    """All between 0 and 1; ``ras`` is better when lower, the others when higher."""

    rsu: float  # salient area: how much of the probability lies in the regions
    ras: float  # attention shift: how far the peaks are from the regions' centres
    rda: float  # discrete attention: whether each region has one peak
    rmi: float  # their weighted mean
    iou: float  # intersection over union of the pixels at the best threshold
    ap: float  # average precision of the pixels


class _Circle(NamedTuple):
    centre: Points  # (1, 2) x, y, whole pixels
    radius: int


def localisation_metrics(
    probability: ArrayLike, polygons: Sequence[ArrayLike]
) -> LocalisationMetrics:
    """Measures of a map of probabilities (H, W) in 0..1 against the regions that are right.

    polygons: one or more arrays (P, 2) of x, y in pixels, P at least 3. Coordinates are truncated
    to whole pixels, as in the published evaluation. Raises ValueError on other shapes, on numbers
    outside 0..1, and where no pixel of the map is in a polygon.
    """
    prob = np.asarray(probability, dtype=np.float64)
    regions = [np.asarray(polygon, dtype=np.float64) for polygon in polygons]
    if prob.ndim != 2 or prob.size == 0:
        raise ValueError(f"probability must be (H, W), got {prob.shape}")
    if not ((prob >= 0) & (prob <= 1)).all():
        raise ValueError("probability must be within 0 and 1")
    if not regions:
        raise ValueError("polygons must name at least one region")
    for region in regions:
        if region.ndim != 2 or region.shape[1] != 2 or len(region) < 3:
            raise ValueError(f"a polygon must be (P, 2) with P at least 3, got {region.shape}")
        if not np.isfinite(region).all():
            raise ValueError("a polygon's coordinates must be finite")
    mask = region_mask(prob.shape, regions)
    if not mask.any():
        raise ValueError("no pixel of the map lies in a polygon")
    circles = [_circle(region) for region in regions]
    if min(circle.radius for circle in circles) < 1:
        raise ValueError("a polygon is smaller than a pixel")
    peaks = _peaks(prob)
    rsu = _salient_area(prob, mask)
    ras, rda = _attention_shift(circles, peaks), _discrete_attention(circles, peaks)
    rmi = WEIGHT_SU * rsu + WEIGHT_AS * (1 - ras) + WEIGHT_DA * rda
    return LocalisationMetrics(rsu, ras, rda, rmi, *pixel_measures(prob, mask))


def region_mask(shape: tuple[int, int], polygons: Sequence[Points]) -> NDArray[np.bool_]:
    """(H, W): the pixels inside the polygons, their outlines included."""
    import cv2  # its rule for outlines is part of the published measures

    mask = np.zeros(shape, dtype=np.uint8)
    cv2.fillPoly(mask, [polygon.astype(np.int32) for polygon in polygons], 1)
    return mask.astype(bool)


def _circle(region: Points) -> _Circle:
    """The mean of the corners, and their mean distance from it, expanded."""
    centre = (region.sum(axis=0) / len(region)).astype(np.int64)[None].astype(np.float64)
    return _Circle(centre, int(cdist(region, centre).mean() * EXPANSION))


def _peaks(prob: Map) -> Points:
    """(M, 2) x, y: where the smoothed map is highest, with a probability of at least a half."""
    import cv2

    grey: Any = (prob * 255.0).astype(np.uint8)  # cv2 has its own types
    for _ in range(SMOOTHINGS):
        grey = cv2.boxFilter(grey, ddepth=-1, ksize=(SMOOTHING_SIDE, SMOOTHING_SIDE))
    highest = (maximum_filter(grey, size=PEAK_SIDE) == grey) & (grey > 0)
    areas: Any = regionprops(label(highest, connectivity=2))  # type: ignore[no-untyped-call]
    centres = np.array([area.centroid for area in areas], dtype=np.int64).reshape(-1, 2)
    kept = centres[prob[centres[:, 0], centres[:, 1]] >= LOWEST_PEAK]
    return kept[:, ::-1].astype(np.float64)


def _salient_area(prob: Map, mask: NDArray[np.bool_]) -> float:
    inside = prob[mask].sum()
    contrast = inside / (prob.sum() - inside + 1e-7) * ((~mask).sum() / mask.sum())
    return float(1 - np.exp(-SALIENCY_BETA * contrast))


def _attention_shift(circles: Sequence[_Circle], peaks: Points) -> float:
    shifts = []
    for circle in circles:
        near = _distances_within(circle, peaks)
        shifts.append((near.mean() if len(near) else circle.radius) / circle.radius)
    return float(np.expm1(SHIFT_BETA * np.mean(shifts)) / np.expm1(SHIFT_BETA))


def _discrete_attention(circles: Sequence[_Circle], peaks: Points) -> float:
    def of(circle: _Circle) -> float:
        near = peaks[cdist(peaks, circle.centre)[:, 0] <= circle.radius]
        if len(near) <= 1:
            return float(len(near))
        spread = cdist(near, near.mean(axis=0, keepdims=True)).mean() / circle.radius
        return float(0.5 * (1 - spread) + np.exp(-DISCRETE_ETA * (len(near) + 2)))

    return float(np.mean([of(circle) for circle in circles]))


def _distances_within(circle: _Circle, peaks: Points) -> Points:
    distances = cdist(peaks, circle.centre)[:, 0]
    within: Points = distances[distances <= circle.radius]
    return within


def pixel_measures(prob: Map, mask: NDArray[np.bool_]) -> tuple[float, float]:
    """IoU at the best threshold, and average precision; equal probabilities share a threshold.

    Only thresholds that pixels of the mask have can be best, and only there the recall rises.
    """
    ranked, right = np.sort(prob, axis=None), np.sort(prob[mask])
    thresholds = np.unique(right)[::-1]
    chosen = ranked.size - np.searchsorted(ranked, thresholds)
    hits = right.size - np.searchsorted(right, thresholds)
    recall_steps = np.diff(hits, prepend=0) / right.size
    return (
        float((hits / (chosen + right.size - hits)).max()),
        float((recall_steps * hits / chosen).sum()),
    )
