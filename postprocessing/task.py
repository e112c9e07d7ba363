"""A retrieval task, in both directions: similarities, right answers, and banks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from galr.metrics.retrieval import Ranks
from galr.metrics.similarities import Array, FeatureProduct, Similarities
from postprocessing.banks import Bank
from postprocessing.methods import METHODS, MethodSettings, Ordering, order_by, ranks_of
from postprocessing.rerank import Reranked, checked_similarity


class Banks(NamedTuple):
    """Bank images for the images that ask, bank captions for the captions that ask."""

    i2t: Bank | None = None
    t2i: Bank | None = None

    @property
    def some(self) -> bool:
        """Whether both directions have one."""
        return self.i2t is not None and self.t2i is not None


NO_BANKS = Banks()


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

    def orders(self, settings: MethodSettings, memory_mib: float = 512) -> Orders:
        """Both directions in the order of a method."""
        return Orders(
            order_by(self.i2t, settings, self.banks.i2t, memory_mib),
            order_by(self.t2i, settings, self.banks.t2i, memory_mib),
        )

    def ranks(self, orders: Orders, caption_group: Array | None = None) -> Ranks:
        """Ranks of both directions; ``caption_group`` as for ``retrieval_metrics``."""
        return ranks_of(*orders, self.caption_to_image, self.i2t.shape[0], caption_group)

    def reranked(self, orders: Orders, settings: MethodSettings) -> tuple[Reranked, Reranked]:
        """All candidates that a method puts in a new order: the first k, or all there are."""
        k = settings.multivariate.k if METHODS[settings.method].correct is None else None
        both = zip(orders, (self.i2t, self.t2i), strict=True)
        i2t, t2i = (
            Reranked(*order.best(lists.shape[1] if k is None else k)) for order, lists in both
        )
        return i2t, t2i


class Orders(NamedTuple):
    """Image to text and text to image in the order of a method."""

    i2t: Ordering
    t2i: Ordering
