"""From the similarities of images and captions to recall@k, without and with re-ranking."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from galr.data.annotations import Annotations
from galr.evaluation.reranking import FoldRerank
from galr.evaluation.results import Metrics, PartMetrics
from galr.metrics.retrieval import metrics_of_ranks, retrieval_metrics, retrieval_ranks
from galr.metrics.similarities import Array, FeatureProduct
from galr.options import RerankOptions
from postprocessing.methods import MethodSettings
from postprocessing.task import RetrievalTask


def evaluate_similarity(
    similarity: Tensor,
    annotations: Annotations,
    options: RerankOptions,
    rerank: FoldRerank | None = None,
) -> PartMetrics:
    """The metrics of ``similarity`` (I, C) in both directions, by every method of the options.

    The standard ones count only a caption's own image as right; the duplicate-aware ones every
    image with a caption of the same text. ``rerank`` is that of the options alone by default.
    """
    rerank = rerank or FoldRerank.of(options)
    own_image, groups = annotations.caption_to_image, annotations.caption_group
    task = RetrievalTask.of(similarity, own_image, rerank.banks)
    by_method = {}
    for name, settings in rerank.settings.items():
        orders = task.orders(settings)
        by_method[name] = {
            **rerank.describe(name),
            "standard": metrics_of_ranks(task.ranks(orders)),
            "duplicate_aware": metrics_of_ranks(task.ranks(orders, groups)),
        }
    chosen = by_method[options.method] if options.enabled else None

    def by_variant(kind: str, group: np.ndarray | None) -> dict[str, Metrics | None]:
        return {
            "without_rerank": metrics_of_ranks(retrieval_ranks(similarity, own_image, group)),
            "with_rerank": chosen and chosen[kind],
        }

    return PartMetrics(
        by_variant("standard", None),
        by_variant("duplicate_aware", groups),
        rerank.describe(options.method) if options.enabled else None,
        {name: by_method[name] for name in options.compare},
    )


def evaluate(
    similarity: Array | tuple[Array, Array],
    caption_to_image: Array,
    *,
    caption_group: Array | None = None,
    rerank: Mapping[str, Any] | None = None,
) -> Metrics:
    """Recall@k in percent, median and mean rank of both directions, and mR, the mean recall.

    similarity: (I, C), or the features of images (I, D) and captions (C, D); caption_to_image (C,)
    the index of each caption's image -> keys i2t_r1 i2t_r5 i2t_r10 i2t_medr i2t_meanr, the same
    with t2i, mR. With ``rerank``, arguments of ``galr.rerank`` ({} for the defaults), each query's
    k best candidates are re-ranked before. ``caption_group`` (C,), equal for equal texts, counts
    every image with the query's text as correct. Raises ValueError on shapes that do not
    fit, NaN, and images without a caption.
    """
    scores = FeatureProduct(*similarity) if isinstance(similarity, tuple) else similarity
    if rerank is None:
        return retrieval_metrics(scores, caption_to_image, caption_group=caption_group)
    task = RetrievalTask.of(scores, np.asarray(caption_to_image))
    orders = task.orders(MethodSettings(**rerank))
    return metrics_of_ranks(task.ranks(orders, caption_group))
