"""How re-ranking methods correct similarities; ``postprocessing.methods`` has the sources.

Each reads what it needs once, and returns the function from a block of similarities to scores.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import torch
from torch import Tensor

from galr.metrics.similarities import Similarities
from postprocessing.banks import Bank
from postprocessing.scores import (
    Statistic,
    Transform,
    among_best,
    log_sum_exp,
    mean_of_largest,
    of_each_candidate,
)

T = TypeVar("T")

if TYPE_CHECKING:
    from postprocessing.methods import MethodSettings


class Given(NamedTuple):
    """What a correction is made of; ``bank`` is None where the test queries stand for it.

    ``kept``: statistics of candidates by name, which are looked up there before they are computed.
    """

    similarity: Similarities
    settings: MethodSettings
    bank: Bank | None
    block_numbers: int
    kept: MutableMapping[str, Tensor]

    def of_each_candidate(self, statistic: Callable[[T], Statistic], parameter: T) -> Tensor:
        """Of each candidate's similarities with the bank, or with the test queries: (C,)."""
        name = f"{statistic.__name__} {parameter}"
        if name not in self.kept:
            lists = self.similarity if self.bank is None else self.bank.queries
            self.kept[name] = of_each_candidate(lists, statistic(parameter), self.block_numbers)
        return self.kept[name]

    def hubs(self) -> Tensor:
        """Which candidates are among the best of any query of the bank: (C,) bool."""
        name = f"among_best {self.settings.activation}"
        if name not in self.kept:
            lists = self.similarity if self.bank is None else self.bank.queries
            self.kept[name] = among_best(lists, self.settings.activation, self.block_numbers)
        return self.kept[name]


def as_it_is(block: Tensor) -> Tensor:
    """Scores that are the similarities."""
    return block


def plain(_: Given) -> Transform:
    """s(q, c)."""
    return as_it_is


def inverted_softmax(given: Given) -> Transform:
    """log of exp(b s(q, c)) / sum over q' of exp(b s(q', c))."""
    beta = given.settings.beta
    received = given.of_each_candidate(log_sum_exp, beta)
    return lambda block: beta * block - received


def qb_norm(given: Given) -> Transform:
    """The inverted softmax where a query's best candidate is a hub, else s(q, c)."""
    inverted = inverted_softmax(given)
    hubs = given.hubs()

    def transform(block: Tensor) -> Tensor:
        activated = hubs[block.argmax(dim=1)]
        return torch.where(activated[:, None], inverted(block), block)

    return transform


def dual_softmax(given: Given) -> Transform:
    """s(q, c) exp(b s(q, c)) / sum over test queries q' of exp(b s(q', c))."""
    beta = given.settings.beta
    received = given.of_each_candidate(log_sum_exp, beta).double()
    # float64: in float32 a factor below 1e-38 is 0, and candidates that have it are equal
    return lambda block: block * (beta * block.double() - received).exp()


def csls(given: Given) -> Transform:
    """2 s(q, c) - mean of the k largest s(q, .) - mean of the k largest s(., c)."""
    k = given.settings.neighbours
    received = given.of_each_candidate(mean_of_largest, k)
    given_by = mean_of_largest(k)
    return lambda block: 2 * block - given_by(block)[:, None] - received


def nnn(given: Given) -> Transform:
    """s(q, c) - a times the mean of the k largest s(q', c)."""
    received = given.of_each_candidate(mean_of_largest, given.settings.neighbours)
    received = received * given.settings.alpha
    return lambda block: block - received


def dual_bank(given: Given) -> Transform:
    """The inverted softmax with bank queries plus that with bank candidates, both as logarithms."""
    if given.bank is None or given.bank.candidates is None:
        raise ValueError("dual_bank needs a bank of candidates beside that of queries")
    beta = given.settings.beta
    received = given.of_each_candidate(log_sum_exp, beta)
    received = received + of_each_candidate(
        given.bank.candidates, log_sum_exp(beta), given.block_numbers
    )
    return lambda block: 2 * beta * block - received
