"""The rerank formula: three terms of a query and a candidate, and their weighted sum."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from postprocessing.neighbours import Neighbours


class Terms(NamedTuple):
    """The formula's three terms before their weights; all (Q, K) float64."""

    saliency: Tensor
    rank: Tensor
    reverse: Tensor


@dataclass(frozen=True)
class Formula:
    """Numbers of the rerank formula; k is how many candidates of a query are reranked.

    Raises ValueError on numbers that make no sense.
    """

    k: int = 30
    w_saliency: float = 0.3
    w_rank: float = 1.0
    w_reverse: float = 1.1
    xi: float = 0.05
    reverse: Literal["relative", "absolute"] = "relative"
    l: int | None = None  # noqa: E741 - the paper's letter

    def __post_init__(self) -> None:
        if self.k < 1 or (self.l is not None and self.l < 1):
            raise ValueError(f"k and l must be at least 1, got k={self.k}, l={self.l}")
        if self.reverse not in ("relative", "absolute"):
            raise ValueError(f"reverse must be relative or absolute, got {self.reverse!r}")
        weights = (self.w_saliency, self.w_rank, self.w_reverse, self.xi)
        if not all(math.isfinite(weight) for weight in weights):
            raise ValueError(f"weights and xi must be finite, got {weights}")

    def terms(self, neighbours: Neighbours) -> Terms:
        """Saliency, exp(-xi rank) and exp(-xi reverse rank); both ranks count from 1.

        The reverse rank is the query's place in the candidate's own list (absolute, the paper's:
        worth nothing beyond the first l), or the candidate's place among the k when they are
        sorted by that (relative, the released code's).
        """
        reverse_rank = neighbours.reverse_rank
        if self.reverse == "relative":
            reverse_rank = places_by(reverse_rank)
        reverse = torch.exp(-self.xi * (reverse_rank + 1).double())
        if self.reverse == "absolute" and self.l is not None:
            reverse = reverse.masked_fill(reverse_rank >= self.l, 0.0)
        ranks = torch.arange(1, reverse.shape[1] + 1, device=reverse.device)
        rank = torch.exp(-self.xi * ranks.double()).expand_as(reverse)
        return Terms(neighbours.share, rank, reverse)

    def scores(self, terms: Terms) -> Tensor:
        """The weighted sum of the terms, (Q, K) float64."""
        return (
            self.w_saliency * terms.saliency
            + self.w_rank * terms.rank
            + self.w_reverse * terms.reverse
        )


def places_by(reverse_rank: Tensor) -> Tensor:
    """Each candidate's place, from 0, when a query's are sorted by reverse rank; (Q, K) int64.

    Equal reverse ranks, of which there are many, take numpy's default order, as in the released
    code: a stable sort would give other scores than it does.
    """
    order = torch.from_numpy(np.argsort(reverse_rank.cpu().numpy(), axis=1)).to(reverse_rank.device)
    places = torch.arange(order.shape[1], device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places)
