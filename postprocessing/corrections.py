"""Methods that correct each similarity by a statistic of its candidate; formulas in ``settings``.

A hub is a candidate that is similar to every query. A correction is one number per candidate,
computed from its list (its similarities with many queries), so scores need no more memory than a
block of similarities.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import NamedTuple

import torch
from torch import Tensor

from galr.metrics.retrieval import best_ranks
from galr.metrics.similarities import Similarities, even_blocks
from postprocessing.settings import MethodSettings
from postprocessing.topk import fill_top_k

Transform = Callable[[Tensor], Tensor]  # of similarities (b, C) -> scores (b, C)

COPIES = 12  # of a float32 block that a correction holds at a time: some are in float64
MOST_NUMBERS = 1 << 22  # similarities in a block: larger blocks are no faster


def rows_within(numbers: int, length: int) -> int:
    """Rows of ``length`` to correct at a time, all copies included: at least one."""
    return max(1, min(numbers // COPIES, MOST_NUMBERS) // max(1, length))


class Scores:
    """Scores (Q, C) of similarities (Q, C), computed for the requested rows."""

    def __init__(self, similarity: Similarities, transform: Transform, numbers: int) -> None:
        self._similarity, self._transform = similarity, transform
        self._rows = rows_within(numbers, similarity.shape[1])

    @property
    def shape(self) -> tuple[int, int]:
        """(Q, C)."""
        queries, candidates = self._similarity.shape
        return queries, candidates

    def __getitem__(self, rows: slice) -> Tensor:
        return self._transform(self._similarity[rows])

    def best(self, k: int) -> tuple[Tensor, Tensor]:
        """Candidates and float64 scores (Q, K), K = min(k, C), best first, equal ones by index.

        Raises ValueError on NaN and infinity.
        """
        queries, candidates = self.shape
        shape, device = (queries, min(k, candidates) if queries else 0), self._similarity.device
        columns = torch.empty(shape, dtype=torch.int64, device=device)
        values = torch.empty(shape, dtype=torch.float64, device=device)
        if 0 not in shape:
            for rows in even_blocks(queries, self._rows):
                fill_top_k(self[rows], columns[rows], values[rows])
        return columns, values

    def ranks(self, query: Tensor, candidate: Tensor) -> Tensor:
        """Rank (Q,) of each query's best correct candidate; arguments as for ``best_ranks``."""
        return best_ranks(self, query, candidate)


class Inputs(NamedTuple):
    """What a correction is computed from.

    ``lists`` (B, C): similarities of the bank, or of the test queries, with the candidates;
    ``others`` (A, C): those of the bank of candidates. ``cache``: candidate statistics by name.
    """

    settings: MethodSettings
    lists: Similarities
    others: Similarities | None
    numbers: int
    cache: MutableMapping[str, Tensor]

    def log_sum_exp(self) -> Tensor:
        """Log of the sum of exp(b s) over each candidate's list: (C,)."""
        return self._cached(f"log_sum_exp {self.settings.beta}", self.lists, self._log_sum_exp)

    def others_log_sum_exp(self) -> Tensor:
        """The same with the bank of candidates."""
        if self.others is None:
            raise ValueError("dual_bank needs a bank of candidates as well as one of queries")
        name = f"others_log_sum_exp {self.settings.beta}"
        return self._cached(name, self.others, self._log_sum_exp)

    def mean_of_largest(self) -> Tensor:
        """Mean of the k largest entries of each candidate's list, or of all if fewer: (C,)."""
        k = self.settings.neighbours
        return self._cached(f"mean_of_largest {k}", self.lists, lambda part: largest_mean(part, k))

    def hubs(self) -> Tensor:
        """Which candidates are among the best of any query in the lists: (C,) bool."""
        name = f"among_best {self.settings.activation}"
        if name not in self.cache:
            best, _ = Scores(self.lists, _unchanged, self.numbers).best(self.settings.activation)
            found = torch.zeros(self.lists.shape[1], dtype=torch.bool, device=best.device)
            found[best.flatten()] = True
            self.cache[name] = found
        return self.cache[name]

    def _log_sum_exp(self, lists: Tensor) -> Tensor:
        return torch.logsumexp(self.settings.beta * lists, dim=1)

    def _cached(self, name: str, similarity: Similarities, statistic: Transform) -> Tensor:
        """``statistic`` of the candidates' lists (b, B), block by block: (C,) of their dtype."""
        if name not in self.cache:
            lists = similarity.T
            count, length = lists.shape
            found = torch.empty(count, dtype=similarity.dtype, device=similarity.device)
            # in place: small tensors that outlive a block would fragment the memory of the next;
            # in float64: equal lists have equal statistics in every block
            for rows in even_blocks(count, rows_within(self.numbers, length)):
                found[rows] = statistic(lists[rows].double().contiguous())
            self.cache[name] = found
        return self.cache[name]


def largest_mean(lists: Tensor, k: int) -> Tensor:
    """Mean of each list's k largest entries: (b, n) -> (b,)."""
    return lists.topk(min(k, lists.shape[1]), dim=1).values.mean(dim=1)


def _unchanged(block: Tensor) -> Tensor:
    return block


def _none(_: Inputs) -> Transform:
    return _unchanged


def _inverted_softmax(inputs: Inputs) -> Transform:
    beta, normaliser = inputs.settings.beta, inputs.log_sum_exp()
    return lambda block: beta * block - normaliser


def _qb_norm(inputs: Inputs) -> Transform:
    inverted, hubs = _inverted_softmax(inputs), inputs.hubs()

    def transform(block: Tensor) -> Tensor:
        activated = hubs[block.argmax(dim=1)]
        return torch.where(activated[:, None], inverted(block), block)

    return transform


def _dual_softmax(inputs: Inputs) -> Transform:
    beta, normaliser = inputs.settings.beta, inputs.log_sum_exp().double()
    # float64: in float32 factors below 1e-38 are 0, which would make candidates equal
    return lambda block: block * (beta * block.double() - normaliser).exp()


def _csls(inputs: Inputs) -> Transform:
    k, of_candidate = inputs.settings.neighbours, inputs.mean_of_largest()
    return lambda block: 2 * block - largest_mean(block, k)[:, None] - of_candidate


def _nnn(inputs: Inputs) -> Transform:
    bias = inputs.settings.alpha * inputs.mean_of_largest()
    return lambda block: block - bias


def _dual_bank(inputs: Inputs) -> Transform:
    beta, normaliser = inputs.settings.beta, inputs.log_sum_exp() + inputs.others_log_sum_exp()
    return lambda block: 2 * beta * block - normaliser


CORRECTIONS: dict[str, Callable[[Inputs], Transform]] = {
    "none": _none,
    "inverted_softmax": _inverted_softmax,
    "qb_norm": _qb_norm,
    "dual_softmax": _dual_softmax,
    "csls": _csls,
    "nnn": _nnn,
    "dual_bank": _dual_bank,
}
