"""Multivariate rerank: a query's k best candidates in a better order."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from galr.evaluation.similarities import Array, as_floats
from postprocessing.formula import Formula
from postprocessing.neighbours import Neighbours, find_neighbours

BLOCK_NUMBERS = 1 << 20  # similarities of a matrix that are looked at a time: they fit the cache


class Reranked(NamedTuple):
    """Candidates of each query, best first, with their scores: (Q, K) int64 and (Q, K)."""

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
) -> Reranked:
    """The k best candidates of each query, best first, by the combined score.

    similarity (Q, C) -> candidates (Q, K) int64 and scores (Q, K) in the similarity's type,
    K = min(k, C): numpy for numpy, tensors for a tensor, on its device. Equal similarities go by
    candidate index, equal scores by similarity. ``l`` matters with reverse="absolute" alone. A
    candidate whose similarities sum to zero has a saliency of 0. Raises ValueError on NaN and
    infinity, on no queries or candidates, and on numbers that make no sense.
    """
    formula = Formula(k, w_saliency, w_rank, w_reverse, xi, reverse, l)
    neighbours = find_neighbours(checked_matrix(similarity), k, BLOCK_NUMBERS)
    return rerank_neighbours(neighbours, formula, numpy=not isinstance(similarity, Tensor))


def checked_matrix(similarity: Array) -> Tensor:
    """``similarity`` (Q, C) as a float tensor; raises ValueError where it is no matrix."""
    tensor = as_floats(similarity)
    if tensor.ndim != 2 or tensor.numel() == 0:
        raise ValueError(
            "similarity must be (Q, C) of at least one query and one candidate, "
            f"got shape {tuple(tensor.shape)}"
        )
    return tensor


def rerank_neighbours(neighbours: Neighbours, formula: Formula, *, numpy: bool) -> Reranked:
    """The candidates of ``neighbours`` by the formula's score, best first."""
    scores = formula.scores(formula.terms(neighbours))
    scores, order = torch.sort(scores, dim=1, descending=True, stable=True)
    candidates = neighbours.candidates.gather(1, order)
    scores = scores.to(neighbours.similarity.dtype)
    return Reranked(candidates.numpy(), scores.numpy()) if numpy else Reranked(candidates, scores)
