"""Best entries and ranks in lists by stable sorts: what a GPU is good at."""

from __future__ import annotations

import torch
from torch import Tensor


def best_of_lists(lists: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """As ``postprocessing.lists.best_of_lists``."""
    if not bool(lists.isfinite().all()):
        raise ValueError("similarity holds NaN or infinity; rerank needs finite numbers")
    values, columns = lists.sort(dim=1, descending=True, stable=True)
    return columns[:, :k].clone(), values[:, :k].clone()


def ranks_and_sums(lists: Tensor, lengths: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
    """As ``postprocessing.lists.ranks_and_sums``."""
    b, n = lists.shape
    order = lists.sort(dim=1, descending=True, stable=True).indices
    place = torch.empty_like(order)
    place.scatter_(1, order, torch.arange(n, device=lists.device).expand(b, n))
    row = torch.repeat_interleave(lengths)
    return place[row, column], lists.sum(dim=1, dtype=torch.float64)
