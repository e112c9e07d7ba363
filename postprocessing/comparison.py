"""Compares re-ranking methods: recall@k, hubness, time, and significance of the differences."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import skew

from galr.metrics.retrieval import RECALLS_AT, Ranks, metrics_of_ranks
from galr.metrics.similarities import Array, as_tensor
from postprocessing.methods import METHODS, MethodSettings, reads
from postprocessing.task import NO_BANKS, RetrievalTask
from postprocessing.tuning import tune

BASELINES = ("none", "multivariate")
SHOWN = 30  # candidates of each query whose computation is timed
FIRST = 10  # of each query's candidates that count for hubness

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


class Difference(NamedTuple):
    """A difference of mR in points, its 95 % interval, and its two-sided p value."""

    value: float
    low: float
    high: float
    p: float


class Hubness(NamedTuple):
    """``skewness`` of the k-occurrences (Radovanovic et al. 2010); shares in percent.

    ``never``: candidates that are among the first of no query; ``top``: the share of first
    positions taken by the most frequent 1 % of the candidates (at least one).
    """

    skewness: float
    never: float
    top: float


class Compared(NamedTuple):
    """One method on one task; metrics in percent, ``duplicate_aware`` if captions are known.

    ``seconds``: to compute the ``SHOWN`` best of every query in both directions; ``occurrences``:
    how often captions, then images, are among the first ten. ``against``: differences of mR from
    the baselines; ``aware_against``: the same for the duplicate-aware mR.
    """

    name: str
    settings: MethodSettings
    reads: str
    metrics: dict[str, float]
    duplicate_aware: dict[str, float] | None
    seconds: float
    occurrences: tuple[Integers, Integers]
    ranks: Ranks
    aware_ranks: Ranks | None
    against: dict[str, Difference]
    aware_against: dict[str, Difference]

    @property
    def hubness(self) -> dict[str, Hubness]:
        """By direction."""
        both = zip(("i2t", "t2i"), self.occurrences, strict=True)
        return {direction: hubness(counts) for direction, counts in both}

    def as_json(self) -> dict[str, Any]:
        """Everything except the ranks of single queries."""
        return {
            "name": self.name,
            "method": self.settings.method,
            "parameters": self.settings.parameters(),
            "reads": self.reads,
            "metrics": self.metrics,
            "duplicate_aware": self.duplicate_aware,
            "seconds": self.seconds,
            "hubness": {key: value._asdict() for key, value in self.hubness.items()},
            "mR_against": {key: value._asdict() for key, value in self.against.items()},
            "duplicate_aware_mR_against": {
                key: value._asdict() for key, value in self.aware_against.items()
            },
        }


def compare(
    task: RetrievalTask,
    settings: Sequence[MethodSettings],
    *,
    groups: Integers | None = None,
    validation: RetrievalTask | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> list[Compared]:
    """Each method on ``task``, with its bank and, unless it requires one, without.

    ``groups`` (C,) are equal for equal captions. ``validation``: the task that each method's
    parameters are chosen on. Differences from the ``BASELINES`` that precede a method come from
    ``draws`` of a seeded paired bootstrap.
    """
    bootstrap = PairedBootstrap(task.caption_to_image, task.i2t.shape[0], draws, seed)
    rows: list[Compared] = []
    for own, with_bank in _variants(settings, task.banks.some):
        chosen = own
        if validation is not None:
            chosen = tune(own, validation if with_bank else validation._replace(banks=NO_BANKS))[0]
        found = _measured(task if with_bank else task._replace(banks=NO_BANKS), chosen, groups)
        for other in (each for each in rows if each.name in BASELINES):
            found.against[other.name] = bootstrap.difference(found.ranks, other.ranks)
            if found.aware_ranks is not None and other.aware_ranks is not None:
                found.aware_against[other.name] = bootstrap.difference(
                    found.aware_ranks, other.aware_ranks
                )
        rows.append(found)
    return rows


def _variants(
    settings: Sequence[MethodSettings], has_bank: bool
) -> Iterable[tuple[MethodSettings, bool]]:
    for own in settings:
        kind = METHODS[own.method].bank
        if kind != "required":
            yield own, False
        if kind != "never" and has_bank:
            yield own, True


def _measured(task: RetrievalTask, settings: MethodSettings, groups: Integers | None) -> Compared:
    with_bank = task.banks.some
    start = time.perf_counter()
    orders = task.orders(settings)
    best = [order.best(SHOWN)[0][:, :FIRST] for order in orders]
    seconds = time.perf_counter() - start
    images, captions = task.i2t.shape
    ranks, aware = task.ranks(orders), None if groups is None else task.ranks(orders, groups)
    return Compared(
        settings.method + (", bank" if with_bank else ""),
        settings,
        reads(settings.method, with_bank),
        metrics_of_ranks(ranks),
        None if aware is None else metrics_of_ranks(aware),
        seconds,
        (k_occurrences(best[0], captions), k_occurrences(best[1], images)),
        ranks,
        aware,
        {},
        {},
    )


class PairedBootstrap:
    """Draws queries with replacement, the same draws for all compared methods.

    Images are drawn together with their captions, which are not independent of each other.
    """

    def __init__(
        self, caption_to_image: Integers, images: int, draws: int = 2000, seed: int = 0
    ) -> None:
        self._caption_to_image, self._images = caption_to_image, images
        rng = np.random.default_rng(seed)
        even = np.full(images, 1 / images)
        self._weights = rng.multinomial(images, even, size=draws).astype(np.float64)
        captions = np.bincount(caption_to_image, minlength=images).astype(np.float64)
        self._captions = self._weights @ captions  # (draws,) captions in each draw

    def difference(self, ranks: Ranks, other: Ranks) -> Difference:
        """mR of ``ranks`` minus that of ``other``."""
        return self.mean_difference([ranks], [other])

    def mean_difference(self, ranks: Sequence[Ranks], other: Sequence[Ranks]) -> Difference:
        """The mean mR of the folds ``ranks`` minus that of ``other``, of the same queries."""
        one, two = (
            [np.mean(parts, axis=0) for parts in zip(*map(self._hits_by_image, folds), strict=True)]
            for folds in (ranks, other)
        )
        i2t, t2i = one[0] - two[0], one[1] - two[1]
        draws = (self._weights @ i2t) / self._images + (self._weights @ t2i) / self._captions
        draws *= 100 / (2 * len(RECALLS_AT))
        value = i2t.mean() + t2i.sum() / len(self._caption_to_image)
        low, high = np.quantile(draws, (0.025, 0.975))
        # 1e-9: the order of summation must not make equal values differ; one draw is added, since
        # no finite number of draws shows that p is 0
        against = [np.count_nonzero(sign * draws <= 1e-9) for sign in (1, -1)]
        return Difference(
            float(value) * 100 / (2 * len(RECALLS_AT)),
            float(low), float(high), min(1.0, 2 * (1 + min(against)) / (1 + len(draws))),
        )  # fmt: skip

    def _hits_by_image(self, ranks: Ranks) -> tuple[Floats, Floats]:
        """How many of R@1, 5, 10 each image hits, and its captions in total; both (I,)."""
        i2t, t2i = (
            np.less_equal.outer(each.cpu().numpy(), RECALLS_AT).sum(axis=1).astype(np.float64)
            for each in ranks
        )
        return i2t, np.bincount(self._caption_to_image, t2i, self._images).astype(np.float64)


def k_occurrences(first: Array, candidates: int) -> Integers:
    """How many queries have each candidate among their first k: (Q, k) -> (candidates,)."""
    flat = as_tensor(first).cpu().numpy().ravel()
    return np.bincount(flat, minlength=candidates).astype(np.int64)


def hubness(occurrences: Integers) -> Hubness:
    """Hubness of k-occurrences (C,); the skewness is 0 if all are equal."""
    skewness = float(skew(occurrences)) if np.ptp(occurrences) else 0.0
    most = -np.sort(-occurrences)[: math.ceil(len(occurrences) / 100)]
    never = 100 * float(np.mean(occurrences == 0))
    return Hubness(skewness, never, 100 * float(most.sum() / occurrences.sum()))
