"""Multivariate rerank: a query's k best candidates in a better order."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from galr.evaluation.similarities import Array, as_tensor


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

    similarity (Q, C) -> candidates (Q, K) int64 and scores (Q, K), K = min(k, C).
    """
    s = as_tensor(similarity)
    if not bool(s.isfinite().all()):
        raise ValueError("similarity holds NaN or infinity")
    k = min(k, s.shape[1])
    chosen = torch.sort(s, dim=1, descending=True, stable=True).indices[:, :k]
    by_column = torch.sort(s, dim=0, descending=True, stable=True).indices
    column_rank = torch.empty_like(by_column)
    column_rank.scatter_(
        0, by_column, torch.arange(len(s), device=s.device)[:, None].expand_as(by_column)
    )
    reverse_rank = column_rank.gather(1, chosen)
    if reverse == "relative":
        place = torch.from_numpy(np.argsort(reverse_rank.cpu().numpy(), axis=1)).to(s.device)
        reverse_rank = torch.empty_like(place).scatter_(
            1, place, torch.arange(k, device=s.device).expand_as(place)
        )
    sums = s.sum(dim=0, dtype=torch.float64)
    saliency = torch.where(sums[chosen] == 0, 0.0, s.gather(1, chosen) / sums[chosen])
    rank = torch.arange(1, k + 1, device=s.device)
    worth = torch.exp(-xi * (reverse_rank + 1).double())
    if reverse == "absolute" and l is not None:
        worth = torch.where(reverse_rank < l, worth, 0.0)
    scores = w_saliency * saliency + w_rank * torch.exp(-xi * rank.double()) + w_reverse * worth
    scores, order = torch.sort(scores.to(s.dtype), dim=1, descending=True, stable=True)
    chosen = chosen.gather(1, order)
    if isinstance(similarity, Tensor):
        return Reranked(chosen, scores)
    return Reranked(chosen.numpy(), scores.numpy())
