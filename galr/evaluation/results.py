"""Results of the folds: results.json, with mean and spread over the folds, and the table."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from galr import __version__
from galr.common.errors import UserError
from galr.options import RUN_SETTINGS, Difference, Options, differences, is_under, yaml_value

Metrics = dict[str, float]

# the rule of galr.metrics.retrieval, where equal captions of several images tie
TIES = (
    "a wrong candidate that scores as much as the best right one is ranked before it; where a text "
    "is a caption of several images, duplicate_aware takes any of these for right"
)
RERANK_VARIANTS = ("without_rerank", "with_rerank")
RECALLS = ("i2t_r1", "i2t_r5", "i2t_r10", "t2i_r1", "t2i_r5", "t2i_r10", "mR")


class PartMetrics(NamedTuple):
    """Metrics of one part of the data by variant; None where re-ranking is off.

    ``rerank`` describes the method, its parameters and what it reads; ``methods`` does so, with
    the metrics, for each method that is compared with it.
    """

    standard: dict[str, Metrics | None]
    duplicate_aware: dict[str, Metrics | None]
    rerank: dict[str, Any] | None = None
    methods: dict[str, dict[str, Any]] = {}  # noqa: RUF012 - never changed


class FoldResult(NamedTuple):
    """The metrics of one checkpoint, and what they depend on."""

    fold: int
    checkpoint: str
    split: dict[str, Any]  # numbers and hashes of the images
    metrics: PartMetrics
    training_options: Options | None = None  # None where the checkpoint does not hold them
    cost: dict[str, float] | None = None  # parameters, and milliseconds of each part of a search
    input: dict[str, Any] | None = None  # how captions and images reach the towers of open_clip


# what an evaluation chooses by itself, whatever the training had
_EVALUATION_SETTINGS = (*RUN_SETTINGS, "k_fold.", "logs.", "rerank.")

# what may differ between folds: one may have been resumed for more epochs
_FOLD_SETTINGS = (*_EVALUATION_SETTINGS, "optim.epochs", "optim.early_stop", "optim.compile")


def evaluation_differences(trained: Options | None, tested: Options) -> list[Difference]:
    """The options that differ between training and evaluation, except those of evaluation only."""
    if trained is None:
        return []
    changed = differences(trained, tested)
    return [each for each in changed if not is_under(each.key, _EVALUATION_SETTINGS)]


def results_of(options: Options, folds: Sequence[FoldResult]) -> dict[str, Any]:
    """The content of results.json for the folds of one experiment.

    ``options`` are those of the evaluation, in the entry ``test_options``. The entry ``options``
    holds those of the training, from the checkpoints (null where they do not hold them), and
    ``differences`` what ``evaluation_differences`` finds. Raises UserError for folds that were
    trained differently: their mean would have no meaning.
    """
    trained = folds[0].training_options
    _check_trained_alike(folds)
    return {
        "experiment": options.k_fold.experiment_name,
        "dataset": options.dataset.datatype,
        "seed": None if trained is None else trained.seed,
        "versions": versions(),
        "options": None if trained is None else trained.model_dump(mode="json"),
        "test_options": options.model_dump(mode="json"),
        "differences": [
            {"key": each.key, "training": each.before, "test": each.after}
            for each in evaluation_differences(trained, options)
        ],
        "ties": TIES,
        "rerank": options.rerank.model_dump(mode="json"),
        "folds": [
            {
                "fold": fold.fold,
                "checkpoint": fold.checkpoint,
                "split": fold.split,
                "cost": fold.cost,
                **({} if fold.input is None else {"input": fold.input}),
                "differs_from_options": {
                    key: value for key, _, value in _differences(trained, fold.training_options)
                },
                **fold.metrics.standard,
                "duplicate_aware": fold.metrics.duplicate_aware,
                "rerank": fold.metrics.rerank,
                "methods": fold.metrics.methods,
            }
            for fold in folds
        ],
        "runs": len(folds),
        **_over_variants([fold.metrics.standard for fold in folds]),
        "duplicate_aware": _over_variants([fold.metrics.duplicate_aware for fold in folds]),
        "methods": {
            name: _over_folds_of_method([fold.metrics.methods[name] for fold in folds])
            for name in folds[0].metrics.methods
        },
    }


def _check_trained_alike(folds: Sequence[FoldResult]) -> None:
    first = folds[0]
    for fold in folds[1:]:
        for key, before, after in _differences(first.training_options, fold.training_options):
            if not is_under(key, _FOLD_SETTINGS):
                raise UserError(
                    fold.checkpoint,
                    f"was trained with {key}: {yaml_value(after)}, and {first.checkpoint} with "
                    f"{yaml_value(before)}",
                    "evaluate each by test_single.py, or train the folds alike",
                )


def _differences(first: Options | None, other: Options | None) -> list[Difference]:
    """None where one of the two is unknown."""
    return [] if first is None or other is None else list(differences(first, other))


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _spread(values: Sequence[float]) -> float:
    """Sample standard deviation; 0 for a single fold, which shows no spread."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


_STATISTICS = {"mean": _mean, "std": _spread}


def _over_folds(folds: Sequence[Metrics | None]) -> dict[str, Metrics | None]:
    """Each statistic of each metric; None where a fold has no metrics."""
    known = [metrics for metrics in folds if metrics is not None]
    if len(known) < len(folds):
        return dict.fromkeys(_STATISTICS)
    return {
        name: {key: statistic([metrics[key] for metrics in known]) for key in known[0]}
        for name, statistic in _STATISTICS.items()
    }


def _over_variants(folds: Sequence[dict[str, Metrics | None]]) -> dict[str, Any]:
    by_variant = {key: _over_folds([fold[key] for fold in folds]) for key in RERANK_VARIANTS}
    return {name: {key: by_variant[key][name] for key in by_variant} for name in _STATISTICS}


def _over_folds_of_method(folds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "reads": folds[0]["reads"],
        **_over_folds([fold["standard"] for fold in folds]),
        "duplicate_aware": _over_folds([fold["duplicate_aware"] for fold in folds]),
    }


def versions() -> dict[str, str]:
    """Versions of the packages that affect the numbers."""
    return {
        "galr": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),  # a plain str, which weights_only admits
        "numpy": np.__version__,
    }


def results_table(results: dict[str, Any]) -> str:
    """A row per fold with mean and spread, without and with re-ranking, to be printed."""
    lines = [
        f"{results['experiment']} on {results['dataset']}, recall in percent",
        f"{'':28}{'image to text':^22}{'text to image':^22}",
        f"{'':28}" + "".join(f"{name:>7}" for name in ("R@1", "R@5", "R@10") * 2) + f"{'mR':>8}",
    ]
    count = len(results["folds"])
    for variant in RERANK_VARIANTS:
        if results["mean"][variant] is None:
            continue
        title = variant.replace("_", " ")
        rows = [(f"fold {fold['fold']}, {title}", fold[variant]) for fold in results["folds"]]
        if count > 1:
            rows += [(f"mean of {count}, {title}", results["mean"][variant])]
            rows += [(f"std of {count}, {title}", results["std"][variant])]
        aware = results["duplicate_aware"]["mean"][variant]
        rows += [(f"mean of {count}, same text*", aware)]
        lines += _rows(rows)
    if results["methods"]:
        lines.append(f"re-ranking methods, mean of {count} folds, and what each reads")
        for name, method in results["methods"].items():
            lines += _rows([(name, method["mean"])])
            lines[-1] += f"  {method['reads']}"
    used = results["folds"][0]["rerank"]
    if used is not None:
        lines.append(f"rerank: {used['method']}, which reads {used['reads']}")
    lines.append(
        "* images with the query's text, and captions with a correct text, count as correct"
    )
    return "\n".join(lines)


def _rows(rows: Iterable[tuple[str, Metrics]]) -> list[str]:
    return [
        f"{title:<28}"
        + "".join(f"{metrics[key]:7.2f}" for key in RECALLS[:-1])
        + f"{metrics['mR']:8.2f}"
        for title, metrics in rows
    ]
