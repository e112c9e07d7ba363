"""Folds that keep groups of images together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold

from galr.common.errors import UserError
from galr.common.seeding import derive_seed
from galr.data.folds import Fold
from galr.options import KFoldOptions


def grouped_folds(group: NDArray[np.int64], options: KFoldOptions, seed: int) -> list[Fold]:
    """As ``make_folds``, keeping images of equal ``group`` (I,) on the same side.

    A ``random`` validation part is as close to ``validation_share`` as random groups allow; those
    of ``kfold`` are as equal as scikit-learn makes them. Raises UserError for fewer groups than
    folds.
    """
    groups, number, sizes = np.unique(group, return_inverse=True, return_counts=True)
    least = options.nums if options.mode == "kfold" else 2
    if len(groups) < least:
        raise UserError(
            "k_fold.group_duplicates",
            f"leaves {len(groups)} groups of the {len(group)} training images, and {least} or "
            "more are needed",
            "set it to false, or lower k_fold.nums",
        )
    if options.mode == "kfold":
        shuffled = np.random.default_rng(derive_seed(seed, "folds")).permutation(len(groups))
        return [
            Fold(*fold) for fold in GroupKFold(options.nums).split(group, groups=shuffled[number])
        ]
    folds = []
    for index in range(options.nums):
        order = np.random.default_rng(derive_seed(seed, "fold", index)).permutation(len(groups))
        # the last group remains for training
        filled = np.cumsum(sizes[order])[:-1]
        taken = 1 + np.abs(filled - options.validation_share * len(group)).argmin()
        validates = np.isin(number, order[:taken])
        folds.append(Fold(np.flatnonzero(~validates), np.flatnonzero(validates)))
    return folds
