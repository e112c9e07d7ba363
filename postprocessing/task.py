"""A retrieval task in both directions: similarities, ground truth, and banks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from galr.metrics.retrieval import Ranks, metrics_of_ranks, right_pairs
from galr.metrics.similarities import Array, FeatureProduct, Similarities
from postprocessing.banks import Bank
from postprocessing.methods import MethodSettings, Ordering, order_by
from postprocessing.multivariate import Reranked, checked_similarity


class Banks(NamedTuple):
    """Bank images for image queries, bank captions for caption queries."""

    i2t: Bank | None = None
    t2i: Bank | None = None

    @property
    def some(self) -> bool:
        """Whether both directions have one."""
        return self.i2t is not None and self.t2i is not None


NO_BANKS = Banks()


class Orders(NamedTuple):
    """Image to text and text to image in the order of a method."""

    i2t: Ordering
    t2i: Ordering


class RetrievalTask(NamedTuple):
    """Similarities of image to text (I, C) and text to image (C, I), and each caption's image."""

    i2t: Similarities
    t2i: Similarities
    caption_to_image: NDArray[np.int64]
    banks: Banks = NO_BANKS

    @classmethod
    def of(
        cls,
        similarity: Array | FeatureProduct,
        caption_to_image: NDArray[np.int64],
        banks: Banks = NO_BANKS,
    ) -> RetrievalTask:
        """Of one matrix, or of features: (I, C)."""
        i2t = checked_similarity(similarity)
        # contiguous lists are read several times as fast
        t2i = i2t.T.contiguous() if isinstance(i2t, Tensor) else i2t.T
        return cls(i2t, t2i, caption_to_image, banks)

    def orders(self, settings: MethodSettings) -> Orders:
        """Both directions, as ordered by a method."""
        return Orders(
            order_by(self.i2t, settings, self.banks.i2t),
            order_by(self.t2i, settings, self.banks.t2i),
        )

    def ranks(self, orders: Orders, caption_group: Array | None = None) -> Ranks:
        """Ranks of both directions; ``caption_group`` as for ``retrieval_metrics``."""
        pairs = right_pairs(self.caption_to_image, self.i2t.shape[0], caption_group)
        by_image = torch.argsort(pairs.image, stable=True)
        return Ranks(
            i2t=orders.i2t.ranks(pairs.image[by_image], pairs.caption[by_image]),
            t2i=orders.t2i.ranks(pairs.caption, pairs.image),
        )

    def metrics(self, settings: MethodSettings) -> dict[str, float]:
        """Recall@k, median and mean ranks of both directions, and mR, as ordered by a method."""
        return metrics_of_ranks(self.ranks(self.orders(settings)))

    def reranked(self, orders: Orders, settings: MethodSettings) -> tuple[Reranked, Reranked]:
        """All candidates that a method reorders: the first k, or all of them."""
        i2t, t2i = (
            Reranked(*order.best(settings.k if settings.is_multivariate else lists.shape[1]))
            for order, lists in zip(orders, (self.i2t, self.t2i), strict=True)
        )
        return i2t, t2i
