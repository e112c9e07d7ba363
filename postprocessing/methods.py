"""All re-ranking methods behind one protocol: similarities, settings and a bank -> an order."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from galr.metrics.retrieval import best_ranks, head_ranks
from galr.metrics.similarities import Array, FeatureProduct
from postprocessing.banks import Bank
from postprocessing.corrections import CORRECTIONS, Inputs, Scores, rows_within
from postprocessing.multivariate import (
    Reranked,
    as_given,
    checked_similarity,
    numbers_within,
    rerank_with,
    scored,
)
from postprocessing.neighbours import bank_neighbours
from postprocessing.settings import BANK, METHODS, OTHERS, QUERY, MethodSettings, reads

__all__ = [
    "BANK", "METHODS", "OTHERS", "QUERY", "MethodSettings", "Ordering", "order_by", "reads",
    "rerank_by",
]  # fmt: skip


class Ordering(Protocol):
    """Every query's candidates in order."""

    def best(self, k: int) -> tuple[Tensor, Tensor]:
        """The first candidates (Q, K) and their scores, K = min(k, C)."""

    def ranks(self, query: Tensor, candidate: Tensor) -> Tensor:
        """Rank (Q,) of each query's best correct candidate; ``query``, ``candidate`` (P,): the
        correct pairs, ordered by query.
        """


def order_by(
    similarity: Array | FeatureProduct,
    settings: MethodSettings,
    bank: Bank | None = None,
    memory_mib: float = 512,
    cache: MutableMapping[str, Tensor] | None = None,
) -> Ordering:
    """The order of all candidates by a method; similarity (Q, C), a matrix or features.

    Computed in blocks within about ``memory_mib`` MiB in addition to the results. Methods that
    never read a bank ignore it. ``cache`` holds candidate statistics of earlier calls with the same
    candidates and bank, and is extended. Raises ValueError if a required bank is missing or a bank
    does not fit, and on NaN and infinity.
    """
    matrix, kind = checked_similarity(similarity), METHODS[settings.method].bank
    if kind == "required" and bank is None:
        raise ValueError(f"{settings.method} needs a bank")
    lists, others = matrix, None
    if with_bank := bank is not None and kind != "never":
        lists, others = bank.similarities(matrix.shape[1])
    numbers = numbers_within(matrix, settings.k, memory_mib)
    plain = Scores(matrix, lambda block: block, numbers)
    if not settings.is_multivariate:
        if 0 in matrix.shape:
            return plain
        inputs = Inputs(settings, lists, others, numbers, {} if cache is None else cache)
        return Scores(matrix, CORRECTIONS[settings.method](inputs), numbers)
    own = settings.weighted()
    if not with_bank:
        return _Head(plain, Reranked(*map(torch.as_tensor, rerank_with(matrix, own, memory_mib))))
    most_lists = rows_within(numbers, max(lists.shape[0], matrix.shape[0]))
    neighbours = bank_neighbours(*plain.best(own.k), lists, most_lists)
    return _Head(plain, scored(neighbours, own))


def rerank_by(
    similarity: Array | FeatureProduct,
    settings: MethodSettings,
    bank: Bank | None = None,
    *,
    k: int | None = None,
    memory_mib: float = 512,
) -> Reranked:
    """The k best candidates of each query (``settings.k`` by default), best first, with scores.

    Arguments and errors as for ``order_by``; NumPy or torch, like the similarities.
    """
    ordering = order_by(similarity, settings, bank, memory_mib)
    best, scores = ordering.best(settings.k if k is None else k)
    return as_given(similarity, Reranked(best, scores.float()))


class _Head(NamedTuple):
    """The first K candidates re-ranked, followed by the others in order of similarity."""

    plain: Scores
    head: Reranked  # of tensors

    def best(self, k: int) -> tuple[Tensor, Tensor]:
        candidates, scores = map(torch.as_tensor, self.head)
        reranked = candidates.shape[1]
        if k <= reranked or reranked == self.plain.shape[1]:
            return candidates[:, :k], scores[:, :k]
        rest = self.plain.best(k)[0][:, reranked:]
        none = scores.new_full(rest.shape, -torch.inf)  # those have no score
        return torch.cat((candidates, rest), 1), torch.cat((scores, none), 1)

    def ranks(self, query: Tensor, candidate: Tensor) -> Tensor:
        plain = best_ranks(self.plain, query, candidate)
        return head_ranks(self.head, plain, query, candidate, self.plain.shape[1])
