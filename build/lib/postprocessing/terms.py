"""The three terms of the rerank score, and the score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from postprocessing.neighbours import Neighbours


@dataclass(frozen=True)
class RerankSettings:
    """What the score depends on beside the similarities; see ``postprocessing.rerank.rerank``.

    Raises ValueError on values without a meaning.
    """

    k: int = 30
    w_saliency: float = 0.3
    w_rank: float = 1.0
    w_reverse: float = 1.1
    xi: float = 0.05
    reverse: Literal["relative", "absolute"] = "relative"
    l: int | None = None  # noqa: E741 - the paper's letter
    ties: Literal["released", "stable"] = "stable"

    def __post_init__(self) -> None:
        for name, value in (("k", self.k), ("l", self.l)):
            if value is not None and (value != int(value) or value < 1):
                raise ValueError(f"{name} must be a whole number of at least 1, got {value}")
        for name in ("w_saliency", "w_rank", "w_reverse", "xi"):
            if not np.isfinite(getattr(self, name)):
                raise ValueError(f"{name} must be a finite number, got {getattr(self, name)}")
        if self.reverse not in ("relative", "absolute"):
            raise ValueError(f"reverse must be 'relative' or 'absolute', got {self.reverse!r}")
        if self.ties not in ("released", "stable"):
            raise ValueError(f"ties must be 'released' or 'stable', got {self.ties!r}")


class Terms(NamedTuple):
    """The terms before they are weighted, of each query's candidates in plain order.

    All (Q, K) float64, but ``reverse_place`` int64: the reverse rank, from 0, as it enters.
    """

    saliency: Tensor
    rank: Tensor
    reverse: Tensor
    reverse_place: Tensor


def terms(neighbours: Neighbours, settings: RerankSettings) -> Terms:
    """The paper's saliency, rank and reverse rank terms."""
    plain = torch.arange(neighbours.candidates.shape[1], device=neighbours.candidates.device)
    place = neighbours.reverse_rank
    if settings.reverse == "relative":
        place = _relative(place, settings.ties)
    reverse = _worth(place, settings.xi)
    if settings.reverse == "absolute" and settings.l is not None:
        reverse = torch.where(place < settings.l, reverse, 0.0)
    return Terms(
        saliency=neighbours.share,
        rank=_worth(plain, settings.xi).expand_as(place),
        reverse=reverse,
        reverse_place=place,
    )


def combine(parts: Terms, settings: RerankSettings) -> Tensor:
    """The weighted sum (Q, K)."""
    return (
        settings.w_saliency * parts.saliency
        + settings.w_rank * parts.rank
        + settings.w_reverse * parts.reverse
    )


def _worth(rank: Tensor, xi: float) -> Tensor:
    """exp(-xi (rank + 1)) of ranks from 0, of which many are equal."""
    counted = torch.arange(1, int(rank.max()) + 2 if rank.numel() else 1, device=rank.device)
    return torch.exp(-xi * counted.double())[rank]


def _relative(reverse_rank: Tensor, ties: Literal["released", "stable"]) -> Tensor:
    """Each candidate's place when a query's candidates are sorted by ``reverse_rank`` (Q, K).

    Many are equal. "stable" keeps them in plain order; the released code leaves their order to
    numpy's unstable sort, which "released" repeats on the CPU, also for a matrix on a GPU.
    """
    if ties == "released":
        by_numpy = np.argsort(reverse_rank.cpu().numpy(), axis=1)
        order = torch.from_numpy(by_numpy).to(reverse_rank.device)
    else:
        order = reverse_rank.argsort(dim=1, stable=True)
    places = torch.arange(order.shape[1], device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places)
