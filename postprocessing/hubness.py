"""Hubness: how unevenly candidates take the first places of all queries."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from galr.metrics.similarities import Array, as_tensor

FIRST = 10  # places of each query that are counted


class Hubness(NamedTuple):
    """``skewness`` of the k-occurrences (Radovanovic et al. 2010); shares in percent.

    ``never``: candidates that no query has among its first; ``top``: places that the most frequent
    hundredth of the candidates (one at the least) takes.
    """

    skewness: float
    never: float
    top: float


def k_occurrences(first: Array, candidates: int) -> NDArray[np.int64]:
    """How many queries have each candidate among their first: (Q, k) -> (candidates,)."""
    places = as_tensor(first).cpu().numpy().ravel()
    return np.bincount(places, minlength=candidates).astype(np.int64)


def hubness(occurrences: NDArray[np.int64]) -> Hubness:
    """Of k-occurrences (C,); a skewness of 0 where all are equal."""
    counts = occurrences.astype(np.float64)
    centred = counts - counts.mean()
    deviation = math.sqrt(float(np.mean(centred**2)))
    skewness = float(np.mean(centred**3)) / deviation**3 if deviation > 0 else 0.0
    most = -np.sort(-counts)[: math.ceil(len(counts) / 100)]
    return Hubness(
        skewness, 100 * float(np.mean(counts == 0)), 100 * float(most.sum() / counts.sum())
    )
