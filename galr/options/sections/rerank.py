"""Re-ranking at test time."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from galr.options.sections.base import Section

RerankMethod = Literal[
    "none", "multivariate", "saliency", "rank", "reverse", "inverted_softmax", "qb_norm",
    "dual_softmax", "csls", "nnn", "dual_bank",
]  # fmt: skip


class RerankOptions(Section):
    """Re-ranking at test time (docs/rerank.md)."""

    enabled: bool = Field(True, description="report results with re-ranking next to those without")
    method: RerankMethod = Field(
        "multivariate",
        description="re-ranking method; `multivariate` is the paper's",
    )
    compare: tuple[RerankMethod, ...] = Field(
        (), description="further methods that `test.py` reports next to it"
    )
    bank: str | None = Field(
        None,
        description="query bank that methods use instead of the other test queries: `train`, the "
        "training images and captions of the fold, or a data folder, whose training part is used",
    )
    tune: Literal["validation"] | None = Field(
        None,
        description="`validation`: choose the parameters of every method on the fold's validation "
        "part, by mR over the grids of docs/rerank.md",
    )
    beta: float = Field(
        20.0, ge=1, le=100, description="inverse temperature of the softmax methods"
    )
    neighbours: PositiveInt = Field(
        10,
        description="`csls`, `nnn`: number of nearest neighbours whose similarities are averaged",
    )
    alpha: NonNegativeFloat = Field(
        0.75, description="`nnn`: weight of the term subtracted from a similarity"
    )
    activation: PositiveInt = Field(
        1, description="`qb_norm`: number of top candidates of each bank query that count as hubs"
    )
    k: PositiveInt = Field(
        30, description="candidates per query that `multivariate` and its terms re-rank"
    )
    w_saliency: NonNegativeFloat = Field(0.3, description="weight of the saliency term")
    w_rank: NonNegativeFloat = Field(1.0, description="weight of the rank term")
    w_reverse: NonNegativeFloat = Field(1.1, description="weight of the reverse rank term")
    xi: PositiveFloat = Field(0.05, description="decay of a rank's score")
    reverse: Literal["relative", "absolute"] = Field(
        "relative",
        description="reverse rank: `relative`, among the k candidates (released code), or "
        "`absolute`, the query's rank in the candidate's own full list (paper)",
    )
    l: PositiveInt | None = Field(  # noqa: E741 - the paper's letter
        None, description="with `absolute`: reverse ranks beyond the first l score nothing"
    )
    ties: Literal["released", "stable"] = Field(
        "stable",
        description="with `relative`: equal reverse ranks keep the order before re-ranking, "
        "identical on every machine (`stable`), or the order in which numpy.argsort leaves them "
        "on this processor (`released`, as in the released code)",
    )

    @model_validator(mode="after")
    def _dual_bank_has_a_bank(self) -> RerankOptions:
        if self.bank is None and "dual_bank" in (self.method, *self.compare):
            raise ValueError("rerank method dual_bank needs rerank.bank: train, or a data folder")
        return self
