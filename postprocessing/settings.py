"""The re-ranking methods, what each reads, and their parameters.

Scores of a candidate c for a query q, given similarities s; q' are the queries of a bank or,
without one, the test queries:

  none              s(q, c)
  inverted_softmax  log of exp(b s(q, c)) / sum over q' of exp(b s(q', c)) (Smith et al. 2017)
  qb_norm           the same for queries whose best candidate is among the ``activation`` best of
                    some q', s(q, c) for the others (Bogolin et al. 2022, dynamic inverted softmax)
  dual_softmax      s(q, c) times the softmax over test queries of b s(q, c) (Cheng et al. 2021)
  csls              2 s(q, c) - mean of the k largest s(q, .) - mean of the k largest s(., c)
                    (Conneau et al. 2018)
  nnn               s(q, c) - a times the mean of the k largest s(q', c) (Chowdhury et al. 2024)
  dual_bank         log of the inverted softmax with a bank of queries, plus log of that with a bank
                    of candidates c', by s(c', c) (Wang et al. 2023, dual inverted softmax; there
                    each bank has its own b)
  multivariate      ``postprocessing.rerank.rerank`` (Yuan et al. 2022)
  saliency, rank, reverse   one term of it alone

b is ``beta``, k is ``neighbours``, a is ``alpha``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np

QUERY, OTHERS, BANK = "this query alone", "the other test queries", "a bank"


class Method(NamedTuple):
    """The parameters of a method, and what it reads besides the query's own similarities.

    ``bank``: never read, read instead of the other test queries, or required. ``transductive``:
    without a bank, it reads the other test queries.
    """

    parameters: tuple[str, ...]
    bank: Literal["never", "optional", "required"]
    transductive: bool


_WEIGHTS = ("w_saliency", "w_rank", "w_reverse")
_REVERSE = ("reverse", "l", "ties")

METHODS = {
    "none": Method((), "never", transductive=False),
    "multivariate": Method(("k", *_WEIGHTS, "xi", *_REVERSE), "optional", transductive=True),
    "saliency": Method(("k",), "optional", transductive=True),
    "rank": Method(("k",), "never", transductive=False),
    "reverse": Method(("k", "xi", *_REVERSE), "optional", transductive=True),
    "inverted_softmax": Method(("beta",), "optional", transductive=True),
    "qb_norm": Method(("beta", "activation"), "optional", transductive=True),
    "dual_softmax": Method(("beta",), "never", transductive=True),
    "csls": Method(("neighbours",), "optional", transductive=True),
    "nnn": Method(("alpha", "neighbours"), "optional", transductive=True),
    "dual_bank": Method(("beta",), "required", transductive=False),
}


def reads(method: str, with_bank: bool) -> str:
    """What a method reads besides the query's own similarities."""
    kind = METHODS[method]
    if kind.bank == "required" or (with_bank and kind.bank == "optional"):
        return BANK
    return OTHERS if kind.transductive else QUERY


@dataclass(frozen=True, kw_only=True)
class RerankSettings:
    """The parameters of the score, see ``rerank``; raises ValueError on invalid values."""

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
                raise ValueError(f"{name} must be an integer >= 1, got {value}")
        for name in ("w_saliency", "w_rank", "w_reverse", "xi"):
            if not np.isfinite(getattr(self, name)):
                raise ValueError(f"{name} must be a finite number, got {getattr(self, name)}")
        if self.reverse not in ("relative", "absolute"):
            raise ValueError(f"reverse must be 'relative' or 'absolute', got {self.reverse!r}")
        if self.ties not in ("released", "stable"):
            raise ValueError(f"ties must be 'released' or 'stable', got {self.ties!r}")


@dataclass(frozen=True)
class MethodSettings(RerankSettings):
    """A method and the parameters of all methods; raises ValueError on invalid values."""

    method: str = "multivariate"
    beta: float = 20.0
    neighbours: int = 10
    alpha: float = 0.75
    activation: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, got {self.method!r}")
        if not 1 <= self.beta <= 100:
            raise ValueError(f"beta must be between 1 and 100, got {self.beta}")
        if not np.isfinite(self.alpha):
            raise ValueError(f"alpha must be a finite number, got {self.alpha}")
        for name in ("neighbours", "activation"):
            value = getattr(self, name)
            if value != int(value) or value < 1:
                raise ValueError(f"{name} must be an integer >= 1, got {value}")

    @property
    def is_multivariate(self) -> bool:
        """Whether the method is the multivariate score or a term of it: it orders the first k."""
        return self.method in ("multivariate", "saliency", "rank", "reverse")

    def parameters(self) -> dict[str, Any]:
        """The parameters that the method uses, by name."""
        return {name: getattr(self, name) for name in METHODS[self.method].parameters}

    def weighted(self) -> RerankSettings:
        """For a single term: weight 1, and 0 for the other terms."""
        if self.method == "multivariate":
            return self
        alone: dict[str, Any] = {name: float(name == f"w_{self.method}") for name in _WEIGHTS}
        return replace(self, **alone)
