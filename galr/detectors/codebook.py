"""Pseudo-classes: k-means over region descriptors, fitted once and reused."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from galr.common.arrays import DAMAGED_ARRAYS
from galr.common.atomic import atomic_path
from galr.common.errors import UserError
from galr.detectors.segments import DESCRIPTORS

Floats = NDArray[np.float64]

MOST_FITTED = 100_000  # descriptors; more do not change the centres


@dataclass(frozen=True)
class Codebook:
    """mean (12,) and scale (12,) that standardise descriptors, and centres (K, 12)."""

    mean: Floats
    scale: Floats
    centres: Floats

    @property
    def classes(self) -> list[str]:
        """The names of the pseudo-classes."""
        return [f"segment-{number:02d}" for number in range(len(self.centres))]

    def assign(self, descriptors: Floats) -> NDArray[np.int64]:
        """The nearest centre of each descriptor (M, 12) -> (M,)."""
        scaled = (descriptors - self.mean) / self.scale
        distances = np.square(scaled[:, None] - self.centres[None]).sum(axis=2)
        return np.asarray(distances.argmin(axis=1), dtype=np.int64)

    def save(self, path: str | Path) -> None:
        """Writes an .npz file, atomically."""
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(file, mean=self.mean, scale=self.scale, centres=self.centres)

    @classmethod
    def load(cls, path: str | Path) -> Codebook:
        """Reads a codebook; raises UserError if the file is none."""
        try:
            with Path(path).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                parts = [np.asarray(file[key], np.float64) for key in ("mean", "scale", "centres")]
        except DAMAGED_ARRAYS as error:
            raise UserError(
                path, f"is not a codebook of segments ({error})", "fit one with detect --fit-on"
            ) from None
        mean, scale, centres = parts
        shapes_fit = mean.shape == scale.shape == (DESCRIPTORS,) and centres.ndim == 2
        if not shapes_fit or centres.shape[1] != DESCRIPTORS or len(centres) == 0:
            raise UserError(path, "is not a codebook of segments", "fit one with detect --fit-on")
        if not all(np.isfinite(part).all() for part in parts) or not (scale > 0).all():
            raise UserError(path, "contains NaN or infinity", "fit one with detect --fit-on")
        return cls(mean, scale, centres)


def fit_codebook(descriptors: Floats, classes: int, seed: int) -> Codebook:
    """K-means over descriptors (M, 12) of the training images' regions.

    Raises UserError if there are fewer regions than classes.
    """
    from sklearn.cluster import KMeans

    if len(descriptors) < classes:
        raise UserError(
            "detect",
            f"found only {len(descriptors)} regions for {classes} pseudo-classes",
            "give more images, or lower --segment-classes",
        )
    rng = np.random.default_rng(seed)
    chosen = descriptors
    if len(descriptors) > MOST_FITTED:
        chosen = descriptors[np.sort(rng.permutation(len(descriptors))[:MOST_FITTED])]
    mean, scale = chosen.mean(axis=0), chosen.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    found = KMeans(classes, n_init=4, random_state=seed).fit((chosen - mean) / scale)
    # sorted by frequency, so that the numbers are meaningful
    order = np.argsort(-np.bincount(found.labels_, minlength=classes), kind="stable")
    return Codebook(mean, scale, np.asarray(found.cluster_centers_[order], dtype=np.float64))
