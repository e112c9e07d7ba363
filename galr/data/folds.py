"""The training images -> k pairs of parts to train on and to validate with."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from galr.common.errors import UserError
from galr.common.seeding import derive_seed


class Fold(NamedTuple):
    """Indices of images, sorted; together they are all images."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]


def make_folds(images: int, mode: str, nums: int, validation_share: float, seed: int) -> list[Fold]:
    """``nums`` folds of ``images`` training images.

    ``random``: each fold is its own random split with ``validation_share`` of the images to
    validate with, as in the released code; fold i is the same whatever ``nums`` is. ``kfold``:
    disjoint validation parts that cover all images. Raises UserError for too few images.
    """
    if images < 2 or (mode == "kfold" and images < nums):
        raise UserError(
            "k_fold",
            f"{images} training images cannot be split into {nums} folds",
            "lower k_fold.nums or give more images",
        )
    if mode == "kfold":
        order = np.random.default_rng(derive_seed(seed, "folds")).permutation(images)
        return [_fold(order, part) for part in np.array_split(order, nums)]
    # at least one image on either side, however few there are
    count = min(max(round(images * validation_share), 1), images - 1)
    folds = []
    for number in range(nums):
        order = np.random.default_rng(derive_seed(seed, "fold", number)).permutation(images)
        folds.append(_fold(order, order[:count]))
    return folds


def _fold(order: NDArray[np.int64], validation: NDArray[np.int64]) -> Fold:
    return Fold(np.setdiff1d(order, validation), np.sort(validation))
