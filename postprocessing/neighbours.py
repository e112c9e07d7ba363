"""What the rerank formula needs of the similarities, in two passes over them.

Pass 1 goes through the queries' lists (rows) for their k best candidates; pass 2 through the
candidates' lists (columns) for the ranks that the queries have there and for the lists' sums.
Both hold one block of lists at a time, whether it is stored or multiplied from features.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from galr.evaluation.similarities import Similarities, even_blocks
from postprocessing.lists import MOST_NUMBERS, argsort, best_candidates, list_sums, ranks_in_lists


class Neighbours(NamedTuple):
    """The k best candidates of each query, best first, ties by index; all (Q, K).

    ``share`` is the similarity over the sum of the candidate's list (float64), ``reverse_rank``
    the query's rank in the candidate's list, from 0, ties by index (int64).
    """

    candidates: Tensor
    similarity: Tensor
    share: Tensor
    reverse_rank: Tensor


def find_neighbours(
    similarity: Similarities, k: int, block_numbers: int, query: int | None = None
) -> Neighbours:
    """The neighbours of all queries, or of one; similarity (Q, C), K = min(k, C).

    At most ``block_numbers`` similarities are held at a time, but one list at the least. Raises
    ValueError on NaN and infinity.
    """
    block_numbers = min(block_numbers, MOST_NUMBERS)
    queries = range(similarity.shape[0]) if query is None else range(query, query + 1)
    chosen, values = _choose(similarity, k, queries, block_numbers)
    share, reverse_rank = _meet(similarity, chosen, values, queries.start, block_numbers)
    return Neighbours(chosen, values, share, reverse_rank)


def _choose(
    similarity: Similarities, k: int, queries: range, block_numbers: int
) -> tuple[Tensor, Tensor]:
    """Pass 1: each query's best candidates, and how similar they are."""
    candidates = similarity.shape[1]
    shape, device = (len(queries), min(k, candidates)), similarity.device
    chosen = torch.empty(shape, dtype=torch.int64, device=device)
    values = torch.empty(shape, dtype=similarity.dtype, device=device)
    for block in even_blocks(len(queries), block_numbers // candidates):
        rows = slice(queries.start + block.start, queries.start + block.stop)
        lists = similarity[rows].contiguous()  # (b, C)
        _check_finite(lists)
        chosen[block] = best_candidates(lists, k)
        values[block] = lists.gather(1, chosen[block])
    return chosen, values


def _meet(
    similarity: Similarities, chosen: Tensor, values: Tensor, first: int, block_numbers: int
) -> tuple[Tensor, Tensor]:
    """Pass 2: the share and the rank of each query in its candidates' lists; both (Q, K)."""
    share = torch.empty(chosen.shape, dtype=torch.float64, device=chosen.device)
    reverse_rank = torch.empty_like(chosen)
    pairs = argsort(chosen.view(-1))  # places in (Q, K), by candidate
    wanted, lengths = torch.unique_consecutive(chosen.view(-1)[pairs], return_counts=True)
    ends = torch.nn.functional.pad(lengths.cumsum(0), (1, 0))
    whole = len(wanted) == similarity.shape[1]
    for block in even_blocks(len(wanted), block_numbers // similarity.shape[0]):
        lists = similarity.T[block if whole else wanted[block]].contiguous()  # (b, Q)
        own = pairs[int(ends[block.start]) : int(ends[block.stop])]
        row = torch.repeat_interleave(lengths[block])
        query = first + own.div(chosen.shape[1], rounding_mode="floor")
        reverse_rank.view(-1)[own] = ranks_in_lists(lists, row, query)
        share.view(-1)[own] = _share(values.view(-1)[own], list_sums(lists)[row], lists.shape[1])
    return share, reverse_rank


def _share(values: Tensor, sums: Tensor, numbers: int) -> Tensor:
    """values / sums, and 0 where a sum of so many numbers is nothing but their rounding."""
    values = values.double()
    nothing = sums.abs() <= numbers * torch.finfo(torch.float64).eps * values.abs()
    return (values / sums).masked_fill_(nothing, 0.0)


def _check_finite(lists: Tensor) -> None:
    # the sum is quick, but that of finite numbers may overflow
    if not bool(lists.sum().isfinite()) and not bool(lists.isfinite().all()):
        raise ValueError("similarity holds NaN or infinity; rerank needs finite numbers")
