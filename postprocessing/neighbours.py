"""What the multivariate score needs from the similarities, in two passes over them.

Pass 1 reads the queries' lists (rows) for their k best candidates; pass 2 reads the candidates'
lists (columns), or those of a bank, for the queries' ranks and the sums. Both hold one block of
lists at a time, stored or computed from features.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from galr.metrics.similarities import Similarities, even_blocks
from postprocessing.topk import LARGEST_SHARE, NOT_FINITE, fill_ranks, fill_top_k

FEWEST_LISTS = 32  # fewer rows take as long to multiply
RADIX_SORTED = 1 << 16  # NumPy radix-sorts 16-bit integers, several times as fast


class Neighbours(NamedTuple):
    """The k best candidates of each query, best first, ties by index; all (Q, K).

    ``share``: the similarity divided by the sum of the candidate's list (float64), 0 where that sum
    is 0; ``reverse_rank``: the query's rank in the candidate's list, from 0, ties by index (int64).
    """

    candidates: Tensor
    similarity: Tensor
    share: Tensor
    reverse_rank: Tensor


def find_neighbours(
    similarity: Similarities, k: int, block_numbers: int, query: int | None = None
) -> Neighbours:
    """The neighbours of all queries, or of one; similarity (Q, C), K = min(k, C).

    A block has at most ``block_numbers`` similarities, or ``FEWEST_LISTS`` lists. Raises ValueError
    on NaN and infinity.
    """
    count, candidates = similarity.shape
    device = similarity.device
    if 0 in similarity.shape:
        indices = torch.empty((count, 0), dtype=torch.int64, device=device)
        values = torch.empty((count, 0), dtype=torch.float64, device=device)
        return Neighbours(indices, values.to(similarity.dtype), values, indices)
    first, queries = (0, count) if query is None else (query, 1)
    shape = queries, min(k, candidates)
    chosen = torch.empty(shape, dtype=torch.int64, device=device)
    values = torch.empty(shape, dtype=similarity.dtype, device=device)
    for block in _blocks(similarity, queries, block_numbers // candidates):
        rows = similarity[first + block.start : first + block.stop]
        fill_top_k(rows, chosen[block], values[block])
    return Neighbours(
        chosen, values, *_in_candidates_lists(similarity, chosen, first, block_numbers)
    )


def _in_candidates_lists(
    similarity: Similarities, chosen: Tensor, first: int, block_numbers: int
) -> tuple[Tensor, Tensor]:
    """Pass 2: share and reverse rank of each query in its candidates' lists, both (Q, K)."""
    queries, candidates = similarity.shape
    share = torch.empty(chosen.shape, dtype=torch.float64, device=chosen.device)
    reverse_rank = torch.empty_like(chosen)
    pairs = _by_candidate(chosen, candidates)
    query = first + pairs.div(chosen.shape[1], rounding_mode="floor")
    lengths = torch.bincount(chosen.view(-1), minlength=candidates)
    # lists without a pair are skipped only if there are many: selecting lists costs a copy
    wanted = lengths.nonzero()[:, 0] if len(pairs) * 4 < candidates else None
    lengths = lengths if wanted is None else lengths[wanted]
    offsets = torch.nn.functional.pad(lengths.cumsum(0), (1, 0))
    for block in _blocks(similarity, len(lengths), block_numbers // queries):
        own = slice(int(offsets[block.start]), int(offsets[block.stop]))
        fill_ranks(
            similarity.T[block if wanted is None else wanted[block]],  # (b, Q)
            offsets[block.start : block.stop + 1] - own.start,
            query[own],
            pairs[own],
            reverse_rank.view(-1),
            share.view(-1),
        )
    return share, reverse_rank


def bank_neighbours(
    candidates: Tensor, similarity: Tensor, bank: Similarities, most_lists: int
) -> Neighbours:
    """Neighbours if each candidate's list consists of a bank and the query itself.

    candidates, similarity (Q, K): each query's best; bank (B, C), read ``most_lists`` columns at a
    time. A query precedes bank queries of equal similarity. Raises ValueError on NaN
    and infinity in the bank.
    """
    values = similarity.flatten().double()
    pairs = _by_candidate(candidates, bank.shape[1])
    counts = torch.bincount(candidates.flatten(), minlength=bank.shape[1])
    offsets = torch.nn.functional.pad(counts.cumsum(0), (1, 0))
    wanted = counts.nonzero()[:, 0]
    above, total = torch.empty_like(pairs), torch.empty_like(values)
    for rows in even_blocks(len(wanted), most_lists):
        columns = wanted[rows]
        lists = bank.T[columns].double()  # (b, B)
        if not bool(lists.isfinite().all()):
            raise ValueError(NOT_FINITE.replace("similarity", "bank"))
        own = pairs[int(offsets[columns[0]]) : int(offsets[columns[-1] + 1])]
        row = torch.repeat_interleave(counts[columns])
        column = torch.arange(len(own), device=row.device)
        column -= (offsets[columns] - offsets[columns[0]])[row]
        requested = lists.new_zeros(len(columns), int(counts[columns].max()))
        requested[row, column] = values[own]
        not_above = torch.searchsorted(lists.sort(dim=1).values, requested, right=True)
        above[own] = bank.shape[0] - not_above[row, column]
        total[own] = lists.sum(dim=1)[row]
    total += values
    share = values / torch.where(total.isfinite() & (total != 0), total, torch.inf)
    share = share.clamp_(-LARGEST_SHARE, LARGEST_SHARE).view(candidates.shape)
    return Neighbours(candidates, similarity, share, above.view(candidates.shape))


def _blocks(similarity: Similarities, lists: int, most: int) -> list[slice]:
    """Blocks of lists; a matrix in CPU memory is one block."""
    if isinstance(similarity, Tensor) and similarity.device.type == "cpu":
        return [slice(0, lists)]
    return even_blocks(lists, max(most, FEWEST_LISTS))


def _by_candidate(chosen: Tensor, candidates: int) -> Tensor:
    """Positions in the flat ``chosen`` (Q, K), ordered by candidate, then query."""
    flat = chosen.cpu().numpy().reshape(-1)
    short = flat.astype(np.uint16) if candidates <= RADIX_SORTED else flat
    return torch.from_numpy(np.argsort(short, kind="stable")).to(chosen.device)
