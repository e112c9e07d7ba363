"""From the similarities of images and captions to recalls, without and with rerank."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import Tensor

from galr.data.annotations import Annotations
from galr.evaluation.metrics import (
    metrics_of_ranks,
    reranked_metrics,
    retrieval_ranks,
)
from galr.evaluation.results import Metrics
from galr.options import RerankOptions
from postprocessing.rerank import Reranked, rerank


class Recalls(NamedTuple):
    """Metrics by variant, without_rerank and with_rerank; None where rerank is off."""

    standard: dict[str, Metrics | None]
    duplicate_aware: dict[str, Metrics | None]


def evaluate_similarity(
    similarity: Tensor, annotations: Annotations, options: RerankOptions
) -> Recalls:
    """Recalls of ``similarity`` (I, C) in both directions.

    The standard ones count a caption's own image alone as right; the duplicate-aware ones every
    image that carries the same text.
    """
    reranked = rerank_both(similarity, options) if options.enabled else None

    def by_variant(caption_group: np.ndarray | None) -> dict[str, Metrics | None]:
        ranks = retrieval_ranks(similarity, annotations.caption_to_image, caption_group)
        return {
            "without_rerank": metrics_of_ranks(ranks),
            "with_rerank": None
            if reranked is None
            else reranked_metrics(
                ranks,
                *reranked,
                annotations.caption_to_image,
                caption_group=caption_group,
            ),
        }

    return Recalls(by_variant(None), by_variant(annotations.caption_group))


def rerank_both(similarity: Tensor, options: RerankOptions) -> tuple[Reranked, Reranked]:
    """Image to text and text to image."""
    image_to_text, text_to_image = (
        rerank(
            direction,
            k=options.k,
            w_saliency=options.w_saliency,
            w_rank=options.w_rank,
            w_reverse=options.w_reverse,
            xi=options.xi,
            reverse=options.reverse,
            l=options.l,
            ties=options.ties,
        )
        for direction in (similarity, similarity.T)
    )
    return image_to_text, text_to_image
