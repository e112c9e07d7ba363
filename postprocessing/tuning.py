"""The numbers of a re-ranking method, chosen on a validation part by mR over a small grid."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor

from galr.metrics.retrieval import metrics_of_ranks
from postprocessing.methods import METHODS, MethodSettings, multivariate_settings
from postprocessing.recalls import RerankRecalls
from postprocessing.similarity_files import Part
from postprocessing.task import RetrievalTask

Grid = dict[str, tuple[float, ...]]

_BETA: Grid = {"beta": (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)}
_NEIGHBOURS: Grid = {"neighbours": (1, 2, 5, 10, 20, 50)}
_K: Grid = {"k": (10, 20, 30, 50)}

GRIDS: dict[str, Grid] = {
    "none": {},
    "multivariate": {
        **_K,
        "w_saliency": (0.0, 0.1, 0.3, 1.0, 3.0),
        "w_reverse": (0.0, 0.25, 0.5, 0.8, 1.1, 1.5, 2.0),
    },
    "saliency": _K,
    "rank": {},
    "reverse": _K,
    "inverted_softmax": _BETA,
    "qb_norm": {**_BETA, "activation": (1, 3, 10)},
    "dual_softmax": _BETA,
    "csls": _NEIGHBOURS,
    "nnn": {"alpha": (0.25, 0.5, 0.75, 1.0, 1.5), **_NEIGHBOURS},
    "dual_bank": _BETA,
}


class Tuned(NamedTuple):
    """Settings, their mR on validation in percent, and how many were tried."""

    settings: MethodSettings
    mean_recall: float
    tried: int


def tune(settings: MethodSettings, validation: RetrievalTask) -> Tuned:
    """The settings of ``settings.method`` with the highest mR on ``validation``.

    Of equals the first of the grid is taken; numbers that the grid does not name stay as they are.
    """
    grid = GRIDS[settings.method]
    tried = [
        settings.changed(**dict(zip(grid, values, strict=True)))
        for values in itertools.product(*grid.values())
    ]
    recalls = _mean_recalls(tried, validation)
    best = int(np.argmax(recalls))
    return Tuned(tried[best], recalls[best], len(tried))


def _mean_recalls(tried: list[MethodSettings], task: RetrievalTask) -> list[float]:
    method = METHODS[tried[0].method]
    if method.correct is None and isinstance(task.i2t, Tensor):
        # the lists are gone through once for all settings
        own = [multivariate_settings(each) for each in tried]
        part = Part(task.i2t.cpu().numpy(), task.caption_to_image, Path())
        banks = task.banks if method.bank != "never" else (None, None)
        recalls = RerankRecalls(part, max(each.k for each in own), banks)
        return [recalls.reranked(each)["mR"] for each in own]
    return [metrics_of_ranks(task.ranks(task.orders(each)))["mR"] for each in tried]
