"""Chooses the parameters of a re-ranking method on a validation part, by mR over a small grid."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from postprocessing.evaluator import MultivariateEvaluator
from postprocessing.methods import METHODS, MethodSettings
from postprocessing.task import NO_BANKS, RetrievalTask

Grid = dict[str, tuple[Any, ...]]

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
    """The chosen settings, their mR on validation in percent, and how many were tried."""

    settings: MethodSettings
    mean_recall: float
    tried: int


def tune(settings: MethodSettings, validation: RetrievalTask) -> Tuned:
    """The settings of ``settings.method`` with the highest mR on ``validation``.

    Among equals, the first of the grid; parameters outside the grid are unchanged.
    """
    grid = GRIDS[settings.method]
    tried = [
        replace(settings, **dict(zip(grid, values, strict=True)))
        for values in itertools.product(*grid.values())
    ]
    if settings.is_multivariate and isinstance(validation.i2t, Tensor):
        with_bank = METHODS[settings.method].bank != "never"
        task = validation if with_bank else validation._replace(banks=NO_BANKS)
        evaluator = MultivariateEvaluator(task, max(each.k for each in tried))
        mean_recalls = [evaluator.reranked(each.weighted())["mR"] for each in tried]
    else:
        mean_recalls = [validation.metrics(each)["mR"] for each in tried]
    best = int(np.argmax(mean_recalls))
    return Tuned(tried[best], mean_recalls[best], len(tried))
