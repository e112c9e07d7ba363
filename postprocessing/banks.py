"""Queries from elsewhere in place of the other test queries."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from galr.metrics.similarities import Array, FeatureProduct, Similarities, as_floats, even_blocks
from postprocessing.chunks import LARGEST_SHARE
from postprocessing.neighbours import Neighbours
from postprocessing.scores import rows_in_block


class Bank(NamedTuple):
    """Similarities of a bank with the candidates (C of them).

    ``queries`` (B, C): of the kind that asks; ``candidates`` (A, C): of the candidates' own kind,
    which dual bank normalisation alone reads.
    """

    queries: Similarities
    candidates: Similarities | None = None


def checked_bank(
    queries: Array | FeatureProduct, candidates: Array | FeatureProduct | None, count: int
) -> Bank:
    """The bank of ``count`` candidates; raises ValueError where it does not fit, or is empty."""
    return Bank(
        _checked("queries", queries, count),
        None if candidates is None else _checked("candidates", candidates, count),
    )


def _checked(name: str, part: Array | FeatureProduct, count: int) -> Similarities:
    kept = part if isinstance(part, FeatureProduct) else as_floats(part)
    shape = tuple(kept.shape)
    if len(shape) != 2 or shape[0] == 0 or shape[1] != count:
        raise ValueError(f"bank {name} must be (B, {count}), B at least 1, got {shape}")
    return kept


def met_by_bank(
    candidates: Tensor, similarity: Tensor, bank: Similarities, block_numbers: int
) -> Neighbours:
    """The neighbours of queries whose candidates' lists hold a bank and the query itself.

    candidates, similarity (Q, K): each query's best, bank (B, C). The query stands before bank
    queries that are equally similar. Raises ValueError on NaN and infinity in the bank.
    """
    flat, values = candidates.flatten(), similarity.flatten().double()
    order = flat.argsort(stable=True)  # pairs by candidate
    counts = torch.bincount(flat, minlength=bank.shape[1])
    ends = torch.nn.functional.pad(counts.cumsum(0), (1, 0))
    asked = counts.nonzero()[:, 0]
    above, total = torch.empty_like(flat), torch.empty_like(values)
    longest = max(bank.shape[0], int(counts.max()) if len(counts) else 0)
    lists = bank.T
    for rows in even_blocks(len(asked), rows_in_block(block_numbers, longest)):
        own = asked[rows]
        block = lists[own].double()  # (b, B)
        if not bool(block.isfinite().all()):
            raise ValueError("bank holds NaN or infinity; rerank needs finite numbers")
        pairs = order[int(ends[own[0]]) : int(ends[own[-1] + 1])]
        row = torch.repeat_interleave(counts[own])
        column = torch.arange(len(pairs), device=row.device) - (ends[own] - ends[own[0]])[row]
        wanted = torch.zeros(len(own), int(counts[own].max()), dtype=block.dtype, device=row.device)
        wanted[row, column] = values[pairs]
        not_above = torch.searchsorted(block.sort(dim=1).values, wanted, right=True)
        above[pairs] = bank.shape[0] - not_above[row, column]
        total[pairs] = block.sum(dim=1)[row]
    sums = total + values
    share = values / torch.where(sums.isfinite() & (sums != 0), sums, torch.inf)
    return Neighbours(
        candidates,
        similarity,
        share.clamp_(-LARGEST_SHARE, LARGEST_SHARE).view(candidates.shape),
        above.view(candidates.shape),
    )
