"""Metrics for many settings of the multivariate score, in hardly more time than for one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, replace
from typing import Any

from galr.metrics.retrieval import metrics_of_ranks, reranked_ranks, retrieval_ranks
from galr.metrics.similarities import Similarities
from postprocessing.banks import Bank
from postprocessing.corrections import rows_within
from postprocessing.files import Part
from postprocessing.multivariate import Reranked, Terms, combine, terms
from postprocessing.neighbours import Neighbours, bank_neighbours, find_neighbours
from postprocessing.settings import RerankSettings
from postprocessing.task import RetrievalTask

Metrics = dict[str, float]

BLOCK_NUMBERS = 1 << 26  # similarities in a block, 256 MiB


class MultivariateEvaluator:
    """Metrics of a task with similarity matrices, for any settings whose k is at most ``k``."""

    def __init__(self, task: RetrievalTask, k: int) -> None:
        self._caption_to_image, self._k = task.caption_to_image, k
        self._plain = retrieval_ranks(task.i2t, task.caption_to_image)
        self._neighbours = [
            _neighbours(lists, k, bank)
            for lists, bank in zip((task.i2t, task.t2i), task.banks, strict=True)
        ]
        self._terms: tuple[tuple[Any, ...], list[Terms]] | None = None

    def plain(self) -> Metrics:
        """Without re-ranking."""
        return metrics_of_ranks(self._plain)

    def reranked(self, settings: RerankSettings) -> Metrics:
        """With re-ranking; raises ValueError if ``settings.k`` is larger than ``k``."""
        if settings.k > self._k:
            raise ValueError(f"k must be at most {self._k}, got {settings.k}")
        own = [
            Neighbours(*(part[:, : settings.k] for part in neighbours))
            for neighbours in self._neighbours
        ]
        # settings that differ only in weights share their terms
        key = astuple(replace(settings, w_saliency=0.0, w_rank=0.0, w_reverse=0.0))
        if self._terms is None or self._terms[0] != key:
            self._terms = key, [terms(neighbours, settings) for neighbours in own]
        i2t, t2i = (
            # the metrics compare scores, whatever their order
            Reranked(neighbours.candidates, combine(parts, settings))
            for neighbours, parts in zip(own, self._terms[1], strict=True)
        )
        return metrics_of_ranks(reranked_ranks(self._plain, i2t, t2i, self._caption_to_image))


def _neighbours(similarity: Similarities, k: int, bank: Bank | None) -> Neighbours:
    found = find_neighbours(similarity, k, BLOCK_NUMBERS)
    if bank is None:
        return found
    lists, _ = bank.similarities(similarity.shape[1])
    most_lists = rows_within(BLOCK_NUMBERS, max(lists.shape[0], similarity.shape[0]))
    return bank_neighbours(found.candidates, found.similarity, lists, most_lists)


def evaluators_of(parts: Sequence[Part], k: int) -> list[MultivariateEvaluator]:
    """One per part."""
    return [
        MultivariateEvaluator(RetrievalTask.of(part.similarity, part.caption_to_image), k)
        for part in parts
    ]


def mean_of(metrics: Sequence[Metrics]) -> Metrics:
    """The mean of each key, over folds."""
    return {key: sum(each[key] for each in metrics) / len(metrics) for key in metrics[0]}
