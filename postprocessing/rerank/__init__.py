"""Multivariate rerank: a query's k best candidates in a better order (MR in the paper)."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from galr.metrics.similarities import (
    Array,
    FeatureProduct,
    Similarities,
    as_floats,
    even_blocks,
)
from postprocessing.neighbours import Neighbours, find_neighbours
from postprocessing.terms import RerankSettings, combine, terms

MIB = 1 << 20
LEAST_MIB = 16  # no less memory is worth a setting
PAIR_BYTES = 48  # of a query and its candidate, between the passes
MOST_NUMBERS = 1 << 23  # similarities in a block: more are not multiplied any faster
SCORED_AT_A_TIME = 1 << 13  # pairs: for more, torch wakes threads that then spin


class Reranked(NamedTuple):
    """Candidates of each query, best first, and their scores: (Q, K) int64 and float32."""

    candidates: Array
    scores: Array


def rerank(
    similarity: Array,
    *,
    k: int = 30,
    w_saliency: float = 0.3,
    w_rank: float = 1.0,
    w_reverse: float = 1.1,
    xi: float = 0.05,
    reverse: Literal["relative", "absolute"] = "relative",
    l: int | None = None,  # noqa: E741 - the paper's letter
    ties: Literal["released", "stable"] = "stable",
) -> Reranked:
    """The k best candidates of each query, best first, by the combined score.

    similarity (Q, C), numpy or torch -> candidates and scores (Q, K) of the same kind, K =
    min(k, C); the transpose gives the other direction. For a query q and its candidate c, ranks
    from 0:

      score = w_saliency * s(q, c) / sum_q' s(q', c)
            + w_rank     * exp(-xi (rank of c for q + 1))
            + w_reverse  * exp(-xi (reverse rank + 1))

    ``reverse``: the reverse rank is that of q in c's own list (``absolute``; beyond the first
    ``l`` it counts nothing, as in the paper), or the place of c among the K when these are sorted
    by that rank (``relative``, as in the released code; ``l`` plays no part). ``ties`` says how
    equal ones are sorted there: ``stable`` in plain order, the same on every machine; ``released``
    as numpy.argsort does on this processor, like the released code. Equal similarities and equal
    scores keep the order of the candidates' indices, or of the plain ranking.

    A candidate whose sum is 0 has no saliency; a negative sum turns its sign. Raises ValueError
    on NaN or infinity, and on arguments without a meaning.
    """
    settings = RerankSettings(k, w_saliency, w_rank, w_reverse, xi, reverse, l, ties)
    return rerank_with(similarity, settings)


def rerank_features(
    queries: Array,
    candidates: Array,
    *,
    k: int = 30,
    w_saliency: float = 0.3,
    w_rank: float = 1.0,
    w_reverse: float = 1.1,
    xi: float = 0.05,
    reverse: Literal["relative", "absolute"] = "relative",
    l: int | None = None,  # noqa: E741 - the paper's letter
    ties: Literal["released", "stable"] = "stable",
    memory_mib: float = 512,
) -> Reranked:
    """``rerank(queries @ candidates.T, ...)`` without ever holding Q x C numbers.

    queries (Q, D), candidates (C, D): features, normalised where cosines are wanted. The
    similarities are multiplied a block of lists at a time, twice, within about ``memory_mib`` MiB
    beside the features and the results; where they all fit, once. On the CPU the result equals
    that of the dense matrix to the last bit. Raises ValueError as ``rerank`` does, and on features
    that do not fit together.
    """
    settings = RerankSettings(k, w_saliency, w_rank, w_reverse, xi, reverse, l, ties)
    return rerank_with(FeatureProduct(queries, candidates), settings, memory_mib)


def rerank_with(
    similarity: Array | FeatureProduct, settings: RerankSettings, memory_mib: float = 512
) -> Reranked:
    """``rerank`` or ``rerank_features`` with the settings in one."""
    kept = checked_similarity(similarity)
    if isinstance(kept, FeatureProduct):
        kept = whole_if_small(kept, memory_mib)
    block = block_numbers_within(kept, settings.k, memory_mib)
    candidates, scores = scored(find_neighbours(kept, settings.k, block), settings)
    in_numpy = (
        similarity.by_numpy
        if isinstance(similarity, FeatureProduct)
        else not isinstance(similarity, Tensor)
    )
    if in_numpy:
        return Reranked(candidates.numpy(), scores.numpy())
    return Reranked(candidates, scores)


def scored(neighbours: Neighbours, settings: RerankSettings) -> tuple[Tensor, Tensor]:
    """Candidates (Q, K) in the order of their scores (Q, K) float32, some queries at a time."""
    candidates = torch.empty_like(neighbours.candidates)
    scores = torch.empty_like(neighbours.share, dtype=torch.float32)
    for rows in even_blocks(len(candidates), SCORED_AT_A_TIME // max(1, candidates.shape[1])):
        own = Neighbours(*(part[rows] for part in neighbours))
        best, order = combine(terms(own, settings), settings).sort(
            dim=1, descending=True, stable=True
        )
        scores[rows] = best
        candidates[rows] = own.candidates.gather(1, order)
    return candidates, scores


def checked_similarity(similarity: Array | FeatureProduct) -> Similarities:
    """The similarities as rows that can be read; raises ValueError where they are no matrix."""
    if isinstance(similarity, FeatureProduct):
        return similarity
    matrix = as_floats(similarity)
    if matrix.ndim != 2:
        raise ValueError(f"similarity must be (Q, C), got shape {tuple(matrix.shape)}")
    return matrix


def whole_if_small(product: FeatureProduct, memory_mib: float = 512) -> Similarities:
    """The matrix itself where it takes at most half of the memory: it is multiplied once then."""
    queries, candidates = product.shape
    size = queries * candidates * product.dtype.itemsize
    return product[:] if size <= max(memory_mib, LEAST_MIB) * MIB / 2 else product


def block_numbers_within(similarity: Similarities, k: int, memory_mib: float) -> int:
    """How many similarities may be made at a time, beside what is kept for every pair."""
    queries, candidates = similarity.shape
    free = max(memory_mib, LEAST_MIB) * MIB - queries * min(k, candidates) * PAIR_BYTES
    numbers = max(free, LEAST_MIB * MIB / 2) / similarity.dtype.itemsize
    return int(min(numbers, MOST_NUMBERS))
