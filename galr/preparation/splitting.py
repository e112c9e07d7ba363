"""Cuts images into training, validation and test parts; look-alikes stay together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from galr.common.errors import UserError
from galr.common.seeding import derive_seed

PARTS = ("train", "val", "test")


def read_shares(text: str) -> tuple[float, float, float]:
    """``80/10/10`` (training, validation, test) or ``90/10`` (training, test) as shares of 1."""
    try:
        numbers = [float(part) for part in text.split("/")]
    except ValueError:
        numbers = []
    if len(numbers) == 2:
        numbers.insert(1, 0.0)
    total = sum(numbers)
    if len(numbers) != 3 or not 0 < total < np.inf or min(numbers) < 0 or not numbers[0]:
        raise UserError(
            f"--split {text}", "is not a valid split", "write for example --split 80/10/10"
        )
    train, val, test = (number / total for number in numbers)
    return train, val, test


def cut(
    group: NDArray[np.int64], shares: tuple[float, float, float], seed: int
) -> NDArray[np.int64]:
    """(I,) the number of each image's part in ``PARTS``; a group is in one part.

    Groups come in random order; each goes where its middle falls.
    """
    distinct, inverse, sizes = np.unique(group, return_inverse=True, return_counts=True)
    order = np.random.default_rng(derive_seed(seed, "split")).permutation(len(distinct))
    middle = np.empty(len(distinct))
    middle[order] = np.cumsum(sizes[order]) - sizes[order] / 2
    bounds = np.cumsum(shares)[:2] * len(group)
    part: NDArray[np.int64] = np.searchsorted(bounds, middle, side="right")[inverse]
    return part
