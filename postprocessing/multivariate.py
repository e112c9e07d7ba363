"""Multivariate re-ranking: sorts each query's k best candidates by the paper's score."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from galr.metrics.similarities import Array, FeatureProduct, Similarities, as_floats, even_blocks
from postprocessing.neighbours import Neighbours, find_neighbours
from postprocessing.settings import RerankSettings

MIB = 1 << 20
LEAST_MIB = 16  # smaller limits are raised to this
PAIR_BYTES = 64  # stored per query and candidate between the passes
MOST_NUMBERS = 1 << 23  # similarities in a block: larger blocks are no faster
PAIRS_AT_A_TIME = 1 << 13  # for more, torch starts threads, which then spin


class Reranked(NamedTuple):
    """Candidates of each query, best first, and their scores: (Q, K) int64 and float32."""

    candidates: Array
    scores: Array


class Terms(NamedTuple):
    """The unweighted terms of each query's candidates, in the order of their similarity.

    All (Q, K) float64, except ``reverse_rank`` (int64), the reverse rank from 0 that was used.
    """

    saliency: Tensor
    rank: Tensor
    reverse: Tensor
    reverse_rank: Tensor


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
    """The k best candidates of each query, best first, by the multivariate score.

    similarity (Q, C), NumPy or torch -> candidates and scores (Q, K) of the same type, K =
    min(k, C); the transpose gives the other direction. For a query q and its candidate c, ranks
    from 0 (Yuan et al. 2022, multivariate rerank):

      score = w_saliency * s(q, c) / sum_q' s(q', c)
            + w_rank     * exp(-xi (rank of c for q + 1))
            + w_reverse  * exp(-xi (reverse rank + 1))

    ``reverse``: the reverse rank is that of q in c's own list (``absolute``, as in the paper; the
    term is 0 beyond the first ``l``), or the position of c when the K candidates are sorted by that
    rank (``relative``, as in the released code; ``l`` is not used). ``ties``: the order of
    equal ranks there, ``stable``: by similarity; ``released``: as numpy.argsort leaves them, which
    depends on the CPU. Equal similarities are ordered by candidate index, equal scores
    by similarity.

    A sum of 0 gives a saliency of 0; a negative sum flips its sign. Raises ValueError on NaN,
    infinity and invalid arguments.
    """
    settings = RerankSettings(
        k=k, w_saliency=w_saliency, w_rank=w_rank, w_reverse=w_reverse, xi=xi, reverse=reverse,
        l=l, ties=ties,
    )  # fmt: skip
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
    """``rerank(queries @ candidates.T, ...)`` without storing Q x C numbers.

    queries (Q, D), candidates (C, D): features, normalised for cosine similarities. Similarities
    are computed in blocks of lists within about ``memory_mib`` MiB in addition to features and
    results: twice, or once if all fit. On the CPU the result equals that of the dense matrix bit
    for bit. Raises ValueError as ``rerank`` does, and on features of different dimensions.
    """
    settings = RerankSettings(
        k=k, w_saliency=w_saliency, w_rank=w_rank, w_reverse=w_reverse, xi=xi, reverse=reverse,
        l=l, ties=ties,
    )  # fmt: skip
    return rerank_with(FeatureProduct(queries, candidates), settings, memory_mib)


def rerank_with(
    similarity: Array | FeatureProduct, settings: RerankSettings, memory_mib: float = 512
) -> Reranked:
    """``rerank`` or ``rerank_features``, from a settings object."""
    matrix = checked_similarity(similarity)
    if isinstance(matrix, FeatureProduct):
        matrix = whole_if_small(matrix, memory_mib)
    block = min(numbers_within(matrix, settings.k, memory_mib), MOST_NUMBERS)
    return as_given(similarity, scored(find_neighbours(matrix, settings.k, block), settings))


def scored(neighbours: Neighbours, settings: RerankSettings) -> Reranked:
    """Candidates and scores (Q, K), best first, computed in blocks of queries."""
    candidates = torch.empty_like(neighbours.candidates)
    scores = torch.empty_like(neighbours.share, dtype=torch.float32)
    for rows in even_blocks(len(candidates), PAIRS_AT_A_TIME // max(1, candidates.shape[1])):
        own = Neighbours(*(part[rows] for part in neighbours))
        best, order = combine(terms(own, settings), settings).sort(
            dim=1, descending=True, stable=True
        )
        scores[rows] = best
        candidates[rows] = own.candidates.gather(1, order)
    return Reranked(candidates, scores)


def terms(neighbours: Neighbours, settings: RerankSettings) -> Terms:
    """Saliency, rank and reverse rank terms."""
    reverse_rank = neighbours.reverse_rank
    rank = torch.arange(reverse_rank.shape[1], device=reverse_rank.device)
    if settings.reverse == "relative":
        reverse_rank = _relative(reverse_rank, settings.ties)
    reverse = _decay(reverse_rank, settings.xi)
    if settings.reverse == "absolute" and settings.l is not None:
        reverse = torch.where(reverse_rank < settings.l, reverse, 0.0)
    rank_term = _decay(rank, settings.xi).expand_as(reverse_rank)
    return Terms(neighbours.share, rank_term, reverse, reverse_rank)


def combine(parts: Terms, settings: RerankSettings) -> Tensor:
    """The weighted sum of the terms (Q, K)."""
    return (
        settings.w_saliency * parts.saliency
        + settings.w_rank * parts.rank
        + settings.w_reverse * parts.reverse
    )


def checked_similarity(similarity: Array | FeatureProduct) -> Similarities:
    """The similarities as floats; raises ValueError if they are not a matrix."""
    if isinstance(similarity, FeatureProduct):
        return similarity
    matrix = as_floats(similarity)
    if matrix.ndim != 2:
        raise ValueError(f"similarity must be (Q, C), got shape {tuple(matrix.shape)}")
    return matrix


def as_given(similarity: Array | FeatureProduct, reranked: Reranked) -> Reranked:
    """``reranked`` (torch) as NumPy arrays if the similarities are NumPy."""
    is_tensor = (
        not similarity.by_numpy
        if isinstance(similarity, FeatureProduct)
        else isinstance(similarity, Tensor)
    )
    return reranked if is_tensor else Reranked(*map(np.asarray, reranked))


def whole_if_small(product: FeatureProduct, memory_mib: float = 512) -> Similarities:
    """The matrix itself, computed once, if it takes at most half of the memory."""
    size = product.shape[0] * product.shape[1] * product.dtype.itemsize
    return product[:] if size <= max(memory_mib, LEAST_MIB) * MIB / 2 else product


def numbers_within(similarity: Similarities, k: int, memory_mib: float) -> int:
    """How many similarities fit into the memory, less what is stored for every pair."""
    queries, candidates = similarity.shape
    free = max(memory_mib, LEAST_MIB) * MIB - queries * min(k, candidates) * PAIR_BYTES
    return int(max(free, LEAST_MIB * MIB / 2) / similarity.dtype.itemsize)


def _decay(rank: Tensor, xi: float) -> Tensor:
    """exp(-xi (rank + 1)) of ranks from 0, computed once per distinct rank."""
    counted = torch.arange(1, int(rank.max()) + 2 if rank.numel() else 1, device=rank.device)
    return torch.exp(-xi * counted.double())[rank]


def _relative(reverse_rank: Tensor, ties: Literal["released", "stable"]) -> Tensor:
    """Each candidate's position when a query's candidates are sorted by ``reverse_rank`` (Q, K).

    ``released`` sorts as NumPy does on this CPU, even for a matrix on a GPU.
    """
    if ties == "released":
        by_numpy = np.argsort(reverse_rank.cpu().numpy(), axis=1)
        order = torch.from_numpy(by_numpy).to(reverse_rank.device)
    else:
        order = reverse_rank.argsort(dim=1, stable=True)
    positions = torch.arange(order.shape[1], device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, positions)
