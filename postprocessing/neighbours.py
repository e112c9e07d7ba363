"""What the rerank formula needs of the similarities, in two passes over them.

Pass 1 goes through the queries' lists (rows) for their k best candidates; pass 2 through the
candidates' lists (columns) for the ranks that the queries have there and for the lists' sums.
Both hold one block of lists at a time, whether it is stored or multiplied from features.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from galr.metrics.similarities import Similarities, even_blocks
from postprocessing.lists import fill_best, fill_ranks

FEWEST_LISTS = 32  # fewer are not multiplied any faster
SHORT_NUMBERS = 1 << 16  # candidates that have numbers of 16 bits


class Neighbours(NamedTuple):
    """The k best candidates of each query, best first, ties by index; all (Q, K).

    ``share`` is the similarity over the sum of the candidate's list (float64), 0 where that sum is
    0; ``reverse_rank`` the query's rank in the candidate's list, from 0, ties by index (int64).
    """

    candidates: Tensor
    similarity: Tensor
    share: Tensor
    reverse_rank: Tensor


def find_neighbours(
    similarity: Similarities, k: int, block_numbers: int, query: int | None = None
) -> Neighbours:
    """The neighbours of all queries, or of one; similarity (Q, C), K = min(k, C).

    At most ``block_numbers`` similarities are made at a time, but ``FEWEST_LISTS`` lists at the
    least. Raises ValueError on NaN and infinity.
    """
    if 0 in similarity.shape:
        return _nobody(similarity)
    queries = range(similarity.shape[0]) if query is None else range(query, query + 1)
    chosen, values = _choose(similarity, k, queries, block_numbers)
    share, reverse_rank = _meet(similarity, chosen, queries.start, block_numbers)
    return Neighbours(chosen, values, share, reverse_rank)


def _nobody(similarity: Similarities) -> Neighbours:
    """The neighbours where there are no queries, or no candidates."""
    shape, device = (similarity.shape[0], 0), similarity.device
    indices = torch.empty(shape, dtype=torch.int64, device=device)
    values = torch.empty(shape, dtype=torch.float64, device=device)
    return Neighbours(indices, values.to(similarity.dtype), values, indices)


def _choose(
    similarity: Similarities, k: int, queries: range, block_numbers: int
) -> tuple[Tensor, Tensor]:
    """Pass 1: each query's best candidates, and how similar they are."""
    candidates = similarity.shape[1]
    shape, device = (len(queries), min(k, candidates)), similarity.device
    chosen = torch.empty(shape, dtype=torch.int64, device=device)
    values = torch.empty(shape, dtype=similarity.dtype, device=device)
    for block in _blocks(similarity, len(queries), block_numbers // candidates):
        rows = slice(queries.start + block.start, queries.start + block.stop)
        fill_best(similarity[rows], chosen[block], values[block])
    return chosen, values


def _meet(
    similarity: Similarities, chosen: Tensor, first: int, block_numbers: int
) -> tuple[Tensor, Tensor]:
    """Pass 2: the share and the rank of each query in its candidates' lists; both (Q, K)."""
    queries, candidates = similarity.shape
    share = torch.empty(chosen.shape, dtype=torch.float64, device=chosen.device)
    reverse_rank = torch.empty_like(chosen)
    pairs = _by_candidate(chosen, first, candidates)
    # lists that nobody asks for are skipped where they are many: picking lists costs a copy
    wanted = pairs.lengths.nonzero()[:, 0] if len(pairs.place) * 4 < candidates else None
    lengths = pairs.lengths if wanted is None else pairs.lengths[wanted]
    ends = torch.nn.functional.pad(lengths.cumsum(0), (1, 0))
    for block in _blocks(similarity, len(lengths), block_numbers // queries):
        start, stop = int(ends[block.start]), int(ends[block.stop])
        fill_ranks(
            similarity.T[block if wanted is None else wanted[block]],  # (b, Q)
            ends[block.start : block.stop + 1] - start,
            pairs.query[start:stop],
            pairs.place[start:stop],
            reverse_rank.view(-1),
            share.view(-1),
        )
    return share, reverse_rank


def _blocks(similarity: Similarities, lists: int, most: int) -> list[slice]:
    """Blocks of lists; a matrix that is there already, on the CPU, is a single one."""
    if isinstance(similarity, Tensor) and similarity.device.type == "cpu":
        return [slice(0, lists)]
    return even_blocks(lists, max(most, FEWEST_LISTS))


class _Pairs(NamedTuple):
    """Pairs of a query and its candidate, ordered by candidate, then query.

    ``place`` in the flat (Q, K) and ``query`` (Q K,); ``lengths`` (C,): pairs of each candidate.
    """

    place: Tensor
    query: Tensor
    lengths: Tensor


def _by_candidate(chosen: Tensor, first: int, candidates: int) -> _Pairs:
    """The pairs of ``chosen`` (Q, K), whose queries are numbered from ``first``."""
    flat, k = chosen.view(-1), chosen.shape[1]
    if chosen.device.type != "cpu":
        by_candidate = flat.argsort(stable=True)
        query = first + by_candidate.div(k, rounding_mode="floor")
        return _Pairs(by_candidate, query, torch.bincount(flat, minlength=candidates))
    if candidates <= SHORT_NUMBERS:
        place = np.argsort(flat.numpy().astype(np.uint16), kind="stable")  # a radix sort
    else:
        # sorting numbers is much faster than sorting places
        place = flat.numpy() * flat.numel() + np.arange(flat.numel())
        place.sort()
        place %= flat.numel()
    lengths = np.bincount(flat.numpy(), minlength=candidates)
    return _Pairs(*map(torch.from_numpy, (place, first + place // k, lengths)))
