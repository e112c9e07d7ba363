"""From the similarities of images and captions to recalls, without and with rerank."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from galr.data.annotations import Annotations
from galr.evaluation.results import Metrics
from galr.metrics.retrieval import metrics_of_ranks, retrieval_metrics, retrieval_ranks
from galr.metrics.similarities import Array, FeatureProduct
from galr.options import RerankOptions
from postprocessing.methods import MethodSettings, reads
from postprocessing.rerank import Reranked
from postprocessing.task import NO_BANKS, Banks, RetrievalTask


class Recalls(NamedTuple):
    """Metrics by variant, without_rerank and with_rerank; None where rerank is off.

    ``rerank`` says by which method, with which numbers, and what it reads; ``methods`` the same
    with the metrics of those that are compared with it.
    """

    standard: dict[str, Metrics | None]
    duplicate_aware: dict[str, Metrics | None]
    rerank: dict[str, Any] | None
    methods: dict[str, dict[str, Any]]


class FoldRerank(NamedTuple):
    """What re-ranks a fold: settings by method, and banks."""

    settings: Mapping[str, MethodSettings]
    banks: Banks = NO_BANKS


def evaluate_similarity(
    similarity: Tensor,
    annotations: Annotations,
    options: RerankOptions,
    rerank: FoldRerank | None = None,
) -> Recalls:
    """Recalls of ``similarity`` (I, C) in both directions.

    The standard ones count a caption's own image alone as right; the duplicate-aware ones every
    image that carries the same text. ``rerank`` is of the options alone by default.
    """
    rerank = rerank or FoldRerank(settings_by_method(options))
    own_image, groups = annotations.caption_to_image, annotations.caption_group
    task = RetrievalTask.of(similarity, own_image, rerank.banks)
    found = {name: _recalls_by(task, rerank.settings[name], groups) for name in methods_of(options)}
    with_rerank = found.get(options.method) if options.enabled else None

    def by_variant(group: np.ndarray | None, key: str) -> dict[str, Metrics | None]:
        return {
            "without_rerank": metrics_of_ranks(retrieval_ranks(similarity, own_image, group)),
            "with_rerank": None if with_rerank is None else with_rerank[key],
        }

    return Recalls(
        by_variant(None, "standard"),
        by_variant(groups, "duplicate_aware"),
        None if with_rerank is None else described(rerank, options.method),
        {name: {**described(rerank, name), **found[name]} for name in options.compare},
    )


def _recalls_by(
    task: RetrievalTask, settings: MethodSettings, groups: np.ndarray
) -> dict[str, Metrics]:
    orders = task.orders(settings)
    return {
        "standard": metrics_of_ranks(task.ranks(orders)),
        "duplicate_aware": metrics_of_ranks(task.ranks(orders, groups)),
    }


def described(rerank: FoldRerank, method: str) -> dict[str, Any]:
    """A method with its numbers, and what it reads beside a query's own similarities."""
    return {
        "method": method,
        "reads": reads(method, rerank.banks.some),
        "parameters": rerank.settings[method].parameters(),
    }


def methods_of(options: RerankOptions) -> list[str]:
    """The methods that the options name, each once."""
    chosen = [options.method] if options.enabled else []
    return list(dict.fromkeys((*chosen, *options.compare)))


def settings_by_method(options: RerankOptions) -> dict[str, MethodSettings]:
    """The settings of each method that the options name."""
    return {name: method_settings(options, name) for name in methods_of(options)}


def method_settings(options: RerankOptions, method: str | None = None) -> MethodSettings:
    """The settings of the options' method, or of another one with their numbers."""
    values = options.model_dump()
    own = {field.name: values[field.name] for field in fields(MethodSettings)}
    return MethodSettings(**{**own, "method": method or options.method})


def rerank_both(
    similarity: Tensor,
    options: RerankOptions,
    rerank: FoldRerank | None = None,
) -> tuple[Reranked, Reranked]:
    """Image to text and text to image: the candidates that the options' method re-ranks."""
    rerank = rerank or FoldRerank({options.method: method_settings(options)})
    settings = rerank.settings[options.method]
    # whose captions they are plays no part in the order
    nobody = np.empty(0, dtype=np.int64)
    task = RetrievalTask.of(similarity, nobody, rerank.banks)
    return task.reranked(task.orders(settings), settings)


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
    every image that carries the query's text as right. Raises ValueError on shapes that do not
    fit, NaN, and images without a caption.
    """
    scores = FeatureProduct(*similarity) if isinstance(similarity, tuple) else similarity
    if rerank is None:
        return retrieval_metrics(scores, caption_to_image, caption_group=caption_group)
    task = RetrievalTask.of(scores, np.asarray(caption_to_image))
    orders = task.orders(MethodSettings(**rerank))
    return metrics_of_ranks(task.ranks(orders, caption_group))
