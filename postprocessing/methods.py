"""Re-ranking methods under one protocol: which there are, what each reads, and their orders.

Of a query q, a candidate c and similarities s; q' are the queries of a bank, or the test queries
where there is no bank:

  none              s(q, c)
  inverted_softmax  log of exp(b s(q, c)) / sum over q' of exp(b s(q', c)) (Smith et al. 2017)
  qb_norm           the same for queries whose best candidate is among the ``activation`` best of
                    some q', s(q, c) for the others (Bogolin et al. 2022, dynamic inverted softmax)
  dual_softmax      s(q, c) times the softmax over test queries of b s(q, c) (Cheng et al. 2021)
  csls              2 s(q, c) - mean of the k largest s(q, .) - mean of the k largest s(., c)
                    (Conneau et al. 2018)
  nnn               s(q, c) - a times the mean of the k largest s(q', c) (Chowdhury et al. 2024)
  dual_bank         log of the inverted softmax with a bank of queries, plus log of that with a bank
                    of candidates c', which are compared with c (Wang et al. 2023)
  multivariate      ``postprocessing.rerank.rerank`` (Yuan et al. 2022)
  saliency, rank, reverse   one term of it alone

b is ``beta``, k is ``neighbours``, a is ``alpha``.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from galr.metrics.retrieval import Ranks, best_ranks, head_ranks, right_pairs
from galr.metrics.similarities import Array, FeatureProduct, Similarities
from postprocessing import corrections
from postprocessing.banks import Bank, met_by_bank
from postprocessing.corrections import Given
from postprocessing.rerank import (
    Reranked,
    block_numbers_within,
    checked_similarity,
    rerank_with,
    scored,
)
from postprocessing.scores import Scores, Transform
from postprocessing.terms import RerankSettings

QUERY, OTHERS, BANK = "this query alone", "the other test queries", "a bank"


@dataclass(frozen=True)
class MethodSettings:
    """A method and its numbers; ``multivariate`` holds those of the paper's score.

    Raises ValueError on values without a meaning.
    """

    method: str = "multivariate"
    beta: float = 20.0
    neighbours: int = 10
    alpha: float = 0.75
    activation: int = 1
    multivariate: RerankSettings = field(default_factory=RerankSettings)

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, got {self.method!r}")
        if not 1 <= self.beta <= 100:
            raise ValueError(f"beta must be from 1 to 100, got {self.beta}")
        if not np.isfinite(self.alpha):
            raise ValueError(f"alpha must be a finite number, got {self.alpha}")
        for name in ("neighbours", "activation"):
            value = getattr(self, name)
            if value != int(value) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {value}")

    def parameters(self) -> dict[str, Any]:
        """The numbers that the method reads, by name."""
        own = METHODS[self.method].parameters
        return {
            name: getattr(self if hasattr(self, name) else self.multivariate, name) for name in own
        }

    def changed(self, **values: Any) -> MethodSettings:  # noqa: ANN401 - of many types
        """With some of ``parameters`` replaced."""
        own = {name: value for name, value in values.items() if hasattr(self, name)}
        rest = {name: value for name, value in values.items() if name not in own}
        return replace(self, **own, multivariate=replace(self.multivariate, **rest))


class Ordering(Protocol):
    """Every query's candidates in order."""

    def best(self, k: int) -> tuple[Tensor, Tensor]:
        """The first candidates (Q, K) and their scores, K = min(k, C)."""

    def ranks(self, query: Tensor, candidate: Tensor) -> Tensor:
        """Rank (Q,) of each query's best right candidate; ``query``, ``candidate`` (P,) the right
        pairs ordered by query.
        """


class Method(NamedTuple):
    """What a method reads: its ``parameters``, and of whom.

    ``bank``: it never reads one, reads one in place of the other test queries, or needs one.
    ``transductive``: without a bank it reads the other test queries.
    """

    parameters: tuple[str, ...]
    bank: Literal["never", "optional", "required"]
    transductive: bool
    correct: Callable[[Given], Transform] | None = None  # None: terms of the multivariate score


def reads(method: str, has_bank: bool) -> str:
    """What ``method`` reads beside a query's own similarities, in words."""
    own = METHODS[method]
    if has_bank and own.bank != "never":
        return BANK
    return OTHERS if own.transductive else QUERY


def order_by(
    similarity: Array | FeatureProduct,
    settings: MethodSettings,
    bank: Bank | None = None,
    memory_mib: float = 512,
    kept: MutableMapping[str, Tensor] | None = None,
) -> Ordering:
    """The order of all candidates by a method; similarity (Q, C), a matrix or features.

    It is made in blocks within about ``memory_mib`` MiB beside the results. A bank is not read by
    methods that never do. ``kept`` holds statistics of the candidates from earlier calls with the
    same candidates and bank, and takes those that this call computes. Raises ValueError where a
    bank is missing, and on NaN and infinity.
    """
    method, rows = METHODS[settings.method], checked_similarity(similarity)
    if method.bank == "required" and bank is None:
        raise ValueError(f"{settings.method} needs a bank")
    block_numbers = block_numbers_within(rows, settings.multivariate.k, memory_mib)
    if method.correct is not None:
        own_bank = None if method.bank == "never" else bank
        given = Given(rows, settings, own_bank, block_numbers, {} if kept is None else kept)
        transform = method.correct(given) if 0 not in rows.shape else corrections.plain(given)
        return Scores(rows, transform, block_numbers)
    own = multivariate_settings(settings)
    if bank is None or method.bank == "never":
        return _Head(rows, Reranked(*map(torch.as_tensor, rerank_with(rows, own, memory_mib))))
    best, values = Scores(rows, corrections.as_it_is, block_numbers).best(own.k)
    neighbours = met_by_bank(best, values, bank.queries, block_numbers)
    return _Head(rows, Reranked(*scored(neighbours, own)))


def rerank_by(
    similarity: Array | FeatureProduct,
    settings: MethodSettings,
    bank: Bank | None = None,
    *,
    k: int | None = None,
    memory_mib: float = 512,
) -> Reranked:
    """The k best candidates of each query (those that are re-ranked by default), best first.

    Arguments and errors as for ``order_by``; numpy or torch, as the similarities are.
    """
    ordering = order_by(similarity, settings, bank, memory_mib)
    best, scores = ordering.best(settings.multivariate.k if k is None else k)
    scores = scores.float()
    by_numpy = (
        similarity.by_numpy
        if isinstance(similarity, FeatureProduct)
        else not isinstance(similarity, Tensor)
    )
    return Reranked(best.numpy(), scores.numpy()) if by_numpy else Reranked(best, scores)


def ranks_of(
    i2t: Ordering, t2i: Ordering, caption_to_image: Array, images: int,
    caption_group: Array | None = None,
) -> Ranks:  # fmt: skip
    """The ranks of both directions; arguments as for ``galr.metrics.retrieval.right_pairs``."""
    pairs = right_pairs(caption_to_image, images, caption_group)
    by_image = torch.argsort(pairs.image, stable=True)
    return Ranks(
        i2t=i2t.ranks(pairs.image[by_image], pairs.caption[by_image]),
        t2i=t2i.ranks(pairs.caption, pairs.image),
    )


class _Head(NamedTuple):
    """The first K in an order of their own, those behind them in plain order."""

    similarity: Similarities
    head: Reranked

    def best(self, k: int) -> tuple[Tensor, Tensor]:
        candidates, scores = map(torch.as_tensor, self.head)
        kept = candidates.shape[1]
        if k <= kept or kept == self.similarity.shape[1]:
            return candidates[:, :k], scores[:, :k]
        block_numbers = block_numbers_within(self.similarity, k, 512)
        plain, _ = Scores(self.similarity, corrections.as_it_is, block_numbers).best(k)
        # behind the others, and without a score
        none = torch.full((len(plain), plain.shape[1] - kept), -torch.inf, device=plain.device)
        return torch.cat((candidates, plain[:, kept:]), 1), torch.cat((scores, none), 1)

    def ranks(self, query: Tensor, candidate: Tensor) -> Tensor:
        plain = best_ranks(self.similarity, query, candidate)
        return head_ranks(self.head, plain, query, candidate, self.similarity.shape[1])


def multivariate_settings(settings: MethodSettings) -> RerankSettings:
    """The weights of the multivariate score: those of a term alone are 1, and 0 for the others."""
    weights = {"saliency": "w_saliency", "rank": "w_rank", "reverse": "w_reverse"}
    if settings.method not in weights:
        return settings.multivariate
    alone: dict[str, Any] = dict.fromkeys(weights.values(), 0.0)
    alone[weights[settings.method]] = 1.0
    return replace(settings.multivariate, **alone)


_WEIGHTS = ("w_saliency", "w_rank", "w_reverse")
_REVERSE = ("reverse", "l", "ties")

METHODS = {
    "none": Method((), "never", False, corrections.plain),
    "multivariate": Method(("k", *_WEIGHTS, "xi", *_REVERSE), "optional", True),
    "saliency": Method(("k",), "optional", True),
    "rank": Method(("k",), "never", False),
    "reverse": Method(("k", "xi", *_REVERSE), "optional", True),
    "inverted_softmax": Method(("beta",), "optional", True, corrections.inverted_softmax),
    "qb_norm": Method(("beta", "activation"), "optional", True, corrections.qb_norm),
    "dual_softmax": Method(("beta",), "never", True, corrections.dual_softmax),
    "csls": Method(("neighbours",), "optional", True, corrections.csls),
    "nnn": Method(("alpha", "neighbours"), "optional", True, corrections.nnn),
    "dual_bank": Method(("beta",), "required", False, corrections.dual_bank),
}
