"""Scores that correct a similarity by what a candidate receives elsewhere, made block by block.

A hub is a candidate that is similar to every query. Each correction here is one number a
candidate, taken from its list (its similarities to many queries), so that scores need no more
memory than a block of similarities.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from galr.metrics.retrieval import best_ranks
from galr.metrics.similarities import Similarities, even_blocks
from postprocessing.lists import fill_best

Statistic = Callable[[Tensor], Tensor]  # of lists (b, n) -> (b,)
Transform = Callable[[Tensor], Tensor]  # of similarities (b, C) -> scores (b, C)

COPIES = 12  # of a block in float32 that a correction holds at a time: some are in float64
MOST_NUMBERS = 1 << 22  # similarities in a block: more are not corrected any faster


def rows_in_block(block_numbers: int, length: int) -> int:
    """Rows of ``length`` that are corrected at a time, with all that it takes: at least one."""
    return max(1, min(block_numbers // COPIES, MOST_NUMBERS) // max(1, length))


class Scores:
    """Scores (Q, C) of similarities (Q, C), made of the rows that are asked for."""

    def __init__(self, similarity: Similarities, transform: Transform, block_numbers: int) -> None:
        self._similarity, self._transform = similarity, transform
        self._rows = rows_in_block(block_numbers, similarity.shape[1])

    @property
    def shape(self) -> tuple[int, int]:
        """(Q, C)."""
        queries, candidates = self._similarity.shape
        return queries, candidates

    @property
    def device(self) -> torch.device:
        """Where the blocks are made."""
        return self._similarity.device

    def __getitem__(self, rows: slice) -> Tensor:
        return self._transform(self._similarity[rows])

    def best(self, k: int) -> tuple[Tensor, Tensor]:
        """Candidates and float64 scores (Q, K), K = min(k, C), best first, equal ones by index.

        Raises ValueError on NaN and infinity.
        """
        queries, candidates = self.shape
        shape = queries, min(k, candidates) if queries else 0
        columns = torch.empty(shape, dtype=torch.int64, device=self.device)
        values = torch.empty(shape, dtype=torch.float64, device=self.device)
        if 0 not in shape:
            for rows in even_blocks(queries, self._rows):
                fill_best(self[rows], columns[rows], values[rows])
        return columns, values

    def ranks(self, query: Tensor, candidate: Tensor) -> Tensor:
        """Rank (Q,) of each query's best right candidate; arguments as for ``best_ranks``."""
        return best_ranks(self, query, candidate)


def of_each_candidate(similarity: Similarities, statistic: Statistic, block_numbers: int) -> Tensor:
    """``statistic`` of each candidate's list: similarity (Q, C) -> (C,) of its type.

    It is given lists (b, Q) in float64, so that equal lists have equal numbers in every block.
    """
    lists = similarity.T
    count, length = lists.shape
    found = torch.empty(count, dtype=similarity.dtype, device=similarity.device)
    # written in place: small tensors that outlive a block would split the memory of the next
    for rows in even_blocks(count, rows_in_block(block_numbers, length)):
        found[rows] = statistic(lists[rows].double().contiguous())
    return found


def log_sum_exp(beta: float) -> Statistic:
    """The logarithm of the sum of exp(beta s)."""
    return lambda lists: torch.logsumexp(beta * lists, dim=1)


def mean_of_largest(k: int) -> Statistic:
    """The mean of the k largest, or of all where there are fewer."""
    return lambda lists: lists.topk(min(k, lists.shape[1]), dim=1).values.mean(dim=1)


def among_best(similarity: Similarities, k: int, block_numbers: int) -> Tensor:
    """Which candidates are among the k best of any query: similarity (Q, C) -> (C,) bool."""
    best, _ = Scores(similarity, lambda block: block, block_numbers).best(k)
    found = torch.zeros(similarity.shape[1], dtype=torch.bool, device=similarity.device)
    found[best.flatten()] = True
    return found
