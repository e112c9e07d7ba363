"""Re-ranking methods side by side: recalls, hubness, seconds, and whether they differ."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from galr.metrics.retrieval import Ranks, metrics_of_ranks
from postprocessing.bootstrap import Difference, PairedBootstrap
from postprocessing.hubness import FIRST, Hubness, hubness, k_occurrences
from postprocessing.methods import METHODS, MethodSettings, reads
from postprocessing.task import NO_BANKS, RetrievalTask
from postprocessing.tuning import tune

BASELINES = ("none", "multivariate")
SHOWN = 30  # best candidates of each query, whose making is timed

Integers = NDArray[np.int64]


class Compared(NamedTuple):
    """One method on one task; metrics in percent, ``duplicate_aware`` where captions are known.

    ``seconds``: the ``SHOWN`` best of every query, both ways; ``occurrences`` among the first ten:
    of captions, then of images. ``against`` has the differences of mR to the baselines,
    ``aware_against`` those of the duplicate-aware mR.
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
        """All but the ranks of single queries."""
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
    """Each method on ``task``: without its bank where it can do without, and with it.

    The baselines (plain similarities and the paper's score) are always among them, first.
    ``groups`` (C,) are equal for equal captions; on ``validation`` each method's numbers are
    chosen. Differences are by ``draws`` of a seeded paired bootstrap.
    """
    bootstrap = PairedBootstrap(task.caption_to_image, task.i2t.shape[0], draws, seed)
    rows: list[Compared] = []
    for own, with_bank in _variants(settings, task.banks.some):
        chosen = own
        if validation is not None:
            chosen = tune(own, validation if with_bank else validation._replace(banks=NO_BANKS))[0]
        used = task if with_bank else task._replace(banks=NO_BANKS)
        found = _measured(used, chosen, groups)
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
    by_name = {each.method: each for each in settings}
    for name in dict.fromkeys((*BASELINES, *by_name)):
        own = by_name.get(name) or settings[0].changed(method=name)
        kind = METHODS[name].bank
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
