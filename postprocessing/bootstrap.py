"""Whether two methods differ by more than the choice of queries: a paired bootstrap of mR."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from galr.metrics.retrieval import RECALLS_AT, Ranks

Floats = NDArray[np.float64]


class Difference(NamedTuple):
    """Of mR, in percent points: the 95 % interval, and the two-sided p value of no difference."""

    value: float
    low: float
    high: float
    p: float


class PairedBootstrap:
    """Draws of queries with replacement, the same for all methods that are compared.

    Images are drawn, and captions with their image, since the captions of an image are not
    independent. Draws are seeded.
    """

    def __init__(
        self, caption_to_image: NDArray[np.int64], images: int, draws: int = 2000, seed: int = 0
    ) -> None:
        self._own, self._images = caption_to_image, images
        rng = np.random.default_rng(seed)
        even = np.full(images, 1 / images)
        self._weights = rng.multinomial(images, even, size=draws).astype(np.float64)
        captions = np.bincount(caption_to_image, minlength=images).astype(np.float64)
        self._captions = self._weights @ captions  # (draws,) how many each draw holds

    def difference(self, ranks: Ranks, other: Ranks) -> Difference:
        """mR of ``ranks`` minus that of ``other``."""
        return self.mean_difference([ranks], [other])

    def mean_difference(self, ranks: Sequence[Ranks], other: Sequence[Ranks]) -> Difference:
        """The mean mR of the folds ``ranks`` minus that of ``other``, of the same queries."""
        one, two = (
            [np.mean(parts, axis=0) for parts in zip(*map(self._by_image, folds), strict=True)]
            for folds in (ranks, other)
        )
        i2t, t2i = one[0] - two[0], one[1] - two[1]
        draws = (self._weights @ i2t) / self._images + (self._weights @ t2i) / self._captions
        draws *= 100 / (2 * len(RECALLS_AT))
        value = i2t.mean() + t2i.sum() / len(self._own)
        low, high = np.quantile(draws, (0.025, 0.975))
        # one more draw is counted, since no finite number of them shows that p is 0; sums in
        # another order may part what is equal
        against = [np.count_nonzero(sign * draws <= 1e-9) for sign in (1, -1)]
        return Difference(
            float(value) * 100 / (2 * len(RECALLS_AT)),
            float(low), float(high), min(1.0, 2 * (1 + min(against)) / (1 + len(draws))),
        )  # fmt: skip

    def _by_image(self, ranks: Ranks) -> tuple[Floats, Floats]:
        """How many of the recalls each image reaches, and its captions together; both (I,)."""
        i2t, t2i = (
            np.less_equal.outer(each.cpu().numpy(), RECALLS_AT).sum(axis=1).astype(np.float64)
            for each in ranks
        )
        own = np.bincount(self._own, weights=t2i, minlength=self._images)
        return i2t, own.astype(np.float64)
