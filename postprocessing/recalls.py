"""Recalls of similarities under many settings of the rerank, in little more time than for one."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from torch import Tensor

from galr.metrics.retrieval import metrics_of_ranks, reranked_metrics, retrieval_ranks
from galr.metrics.similarities import as_floats
from postprocessing.banks import Bank, met_by_bank
from postprocessing.neighbours import Neighbours, find_neighbours
from postprocessing.rerank import Reranked
from postprocessing.similarity_files import Part
from postprocessing.terms import RerankSettings, Terms, combine, terms

Metrics = dict[str, float]

BLOCK_NUMBERS = 1 << 26  # similarities that are handled at a time, 256 MiB
COLUMNS = {
    f"{direction}_{key}": title
    for direction in ("i2t", "t2i")
    for key, title in (("r1", "R@1"), ("r5", "R@5"), ("r10", "R@10"), ("medr", "med"))
}  # fmt: skip


class RerankRecalls:
    """Metrics of one part for any settings with at most ``most`` candidates.

    ``banks`` (image to text, text to image) stand in place of the other queries.
    """

    def __init__(
        self, part: Part, most: int, banks: tuple[Bank | None, Bank | None] = (None, None)
    ) -> None:
        similarity = as_floats(part.similarity)
        self._caption_to_image = part.caption_to_image
        self._most = most
        self._plain = retrieval_ranks(similarity, part.caption_to_image)
        # contiguous lists are read several times as fast
        self._neighbours = [
            _neighbours(matrix, most, bank)
            for matrix, bank in zip((similarity, similarity.T.contiguous()), banks, strict=True)
        ]
        self._terms: tuple[tuple[Any, ...], list[Terms]] | None = None

    def plain(self) -> Metrics:
        """Without rerank."""
        return metrics_of_ranks(self._plain)

    def reranked(self, settings: RerankSettings) -> Metrics:
        """With rerank; raises ValueError on more candidates than ``most``."""
        if settings.k > self._most:
            raise ValueError(f"k must be at most {self._most}, got {settings.k}")
        i2t, t2i = (
            # the metrics compare scores, in whatever order they stand
            Reranked(own.candidates, combine(parts, settings))
            for own, parts in self._parts(settings)
        )
        return reranked_metrics(self._plain, i2t, t2i, self._caption_to_image)

    def _parts(self, settings: RerankSettings) -> list[tuple[Neighbours, Terms]]:
        """Both directions' neighbours and terms; kept for settings that differ in weights."""
        own = [
            Neighbours(*(part[:, : settings.k] for part in neighbours))
            for neighbours in self._neighbours
        ]
        weights = {"w_saliency", "w_rank", "w_reverse"}
        key = tuple(value for name, value in asdict(settings).items() if name not in weights)
        if self._terms is None or self._terms[0] != key:
            self._terms = key, [terms(neighbours, settings) for neighbours in own]
        return list(zip(own, self._terms[1], strict=True))


def _neighbours(similarity: Tensor, most: int, bank: Bank | None) -> Neighbours:
    found = find_neighbours(similarity, most, BLOCK_NUMBERS)
    if bank is None:
        return found
    return met_by_bank(found.candidates, found.similarity, bank.queries, BLOCK_NUMBERS)


def mean_of(metrics: list[Metrics]) -> Metrics:
    """The mean of each key, over folds."""
    return {key: sum(each[key] for each in metrics) / len(metrics) for key in metrics[0]}


def recall_table(rows: dict[str, Metrics], first: str = "") -> str:
    """The table that people read: recalls and mean recall in percent, median ranks."""
    width = max(len(title) for title in (*rows, first)) + 2
    half = 8 * len(COLUMNS) // 2
    lines = [
        f"{'':{width}}{'image to text':^{half}}{'text to image':^{half}}",
        f"{first:{width}}" + "".join(f"{title:>8}" for title in (*COLUMNS.values(), "mR")),
    ]
    lines += [
        f"{title:{width}}" + "".join(f"{metrics[key]:8.2f}" for key in (*COLUMNS, "mR"))
        for title, metrics in rows.items()
    ]
    return "\n".join(lines)
