"""Best entries and ranks in lists by stable sorts: what a GPU is good at."""

from __future__ import annotations

import torch
from torch import Tensor

from postprocessing.chunks import LARGEST_SHARE, NOT_FINITE


def fill_best(lists: Tensor, columns: Tensor, values: Tensor) -> None:
    """As ``postprocessing.lists.fill_best``."""
    if not bool(lists.isfinite().all()):
        raise ValueError(NOT_FINITE)
    best, order = lists.sort(dim=1, descending=True, stable=True)
    columns.copy_(order[:, : columns.shape[1]])
    values.copy_(best[:, : columns.shape[1]])


def fill_ranks(
    lists: Tensor, ends: Tensor, column: Tensor, places: Tensor, rank: Tensor, share: Tensor
) -> None:
    """As ``postprocessing.lists.fill_ranks``."""
    order = lists.sort(dim=1, descending=True, stable=True).indices
    place = torch.empty_like(order)
    place.scatter_(1, order, torch.arange(lists.shape[1], device=lists.device).expand_as(order))
    row = torch.repeat_interleave(ends.diff())
    rank[places] = place[row, column]
    sums = lists.sum(dim=1, dtype=torch.float64)
    sums = torch.where(sums.isfinite() & (sums != 0), sums, torch.inf)
    share[places] = (lists[row, column] / sums[row]).clamp_(-LARGEST_SHARE, LARGEST_SHARE)
