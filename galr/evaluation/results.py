"""Results of the folds: their mean and spread, the table that is printed, results.json."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from galr import __version__
from galr.common.atomic import write_json
from galr.common.errors import UserError
from galr.options import RUN_SETTINGS, Difference, Options, differences, is_under, yaml_value

Metrics = dict[str, float]

RERANK_VARIANTS = ("without_rerank", "with_rerank")
RECALLS = ("i2t_r1", "i2t_r5", "i2t_r10", "t2i_r1", "t2i_r5", "t2i_r10", "mR")


class FoldResult(NamedTuple):
    """One checkpoint's recalls on one part of the data."""

    fold: int
    checkpoint: str
    split: dict[str, Any]
    standard: dict[str, Metrics | None]
    duplicate_aware: dict[str, Metrics | None]
    rerank: dict[str, Any] | None = None
    methods: dict[str, dict[str, Any]] = {}  # noqa: RUF012 - never changed
    trained: Options | None = None  # None where the checkpoint does not say
    cost: dict[str, float] | None = None  # parameters, and milliseconds of each part of a search


def _spread(values: Sequence[float]) -> float:
    """Sample standard deviation; 0 for a single fold, which shows no spread."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _over_folds(
    folds: Sequence[FoldResult],
    kind: str,
    statistic: Any,  # noqa: ANN401 - _mean or _spread
) -> dict[str, Metrics | None]:
    summary: dict[str, Metrics | None] = {}
    for variant in RERANK_VARIANTS:
        metrics = [getattr(fold, kind)[variant] for fold in folds]
        summary[variant] = (
            None
            if None in metrics
            else {key: statistic([each[key] for each in metrics]) for key in metrics[0]}
        )
    return summary


# what a test chooses by itself, whatever the training had
_TEST_SETTINGS = (*RUN_SETTINGS, "k_fold.", "logs.", "rerank.")

# of one fold and not of another: a fold may have been resumed to more epochs
_OF_A_FOLD = (*_TEST_SETTINGS, "optim.epochs", "optim.early_stop", "optim.compile")


def evaluation_differences(trained: Options | None, tested: Options) -> list[Difference]:
    """The options in which a test differs from its training, but for what a test chooses."""
    if trained is None:
        return []
    return [each for each in differences(trained, tested) if not is_under(each.key, _TEST_SETTINGS)]


def check_alike(folds: Sequence[FoldResult]) -> None:
    """Raises UserError for folds that were trained differently: their mean would mean nothing."""
    first = folds[0]
    for fold in folds[1:]:
        if first.trained is None or fold.trained is None:
            continue
        for key, before, after in differences(first.trained, fold.trained):
            if not is_under(key, _OF_A_FOLD):
                raise UserError(
                    fold.checkpoint,
                    f"was trained with {key}: {yaml_value(after)}, and {first.checkpoint} with "
                    f"{yaml_value(before)}",
                    "evaluate each by test_single.py, or train the folds alike",
                )


def results_of(options: Options, folds: Sequence[FoldResult]) -> dict[str, Any]:
    """The content of results.json for the folds of one experiment.

    ``options`` are those of the test. The entry ``options`` holds those of the training, which the
    checkpoints tell (null where they do not), ``test_options`` those of the test, and
    ``differences`` every option in which they differ, but for what a test chooses by itself.
    """
    check_alike(folds)
    trained = folds[0].trained
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
        "rerank": options.rerank.model_dump(mode="json"),
        "folds": [
            {
                "fold": fold.fold,
                "checkpoint": fold.checkpoint,
                "split": fold.split,
                "cost": fold.cost,
                "differs_from_options": _of_this_fold(trained, fold.trained),
                **fold.standard,
                "duplicate_aware": fold.duplicate_aware,
                "rerank": fold.rerank,
                "methods": fold.methods,
            }
            for fold in folds
        ],
        "mean": _over_folds(folds, "standard", _mean),
        "std": _over_folds(folds, "standard", _spread),
        "duplicate_aware": {
            "mean": _over_folds(folds, "duplicate_aware", _mean),
            "std": _over_folds(folds, "duplicate_aware", _spread),
        },
        "methods": {name: _method(folds, name) for name in folds[0].methods},
    }


def _method(folds: Sequence[FoldResult], name: str) -> dict[str, Any]:
    """What a compared method reads, and its metrics over the folds."""
    own = [fold.methods[name] for fold in folds]

    def over(kind: str, statistic: Callable[[Sequence[float]], float]) -> Metrics:
        metrics = [each[kind] for each in own]
        return {key: statistic([each[key] for each in metrics]) for key in metrics[0]}

    return {
        "reads": own[0]["reads"],
        "mean": over("standard", _mean),
        "std": over("standard", _spread),
        "duplicate_aware": {
            "mean": over("duplicate_aware", _mean),
            "std": over("duplicate_aware", _spread),
        },
    }


def _of_this_fold(first: Options | None, own: Options | None) -> dict[str, Any]:
    """Training options of a fold that are not those of the first: how many epochs, for example."""
    if first is None or own is None:
        return {}
    return {key: value for key, _, value in differences(first, own)}


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    return {
        "galr": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),  # a plain str, which weights_only admits
        "numpy": np.__version__,
    }


def write_results(path: str | Path, results: dict[str, Any]) -> None:
    """Writes results.json, atomically."""
    write_json(path, results)


def results_table(results: dict[str, Any]) -> str:
    """The table that people read: a row a fold, mean and spread, without and with rerank."""
    lines = [
        f"{results['experiment']} on {results['dataset']}, recall in percent",
        f"{'':28}{'image to text':^22}{'text to image':^22}",
        f"{'':28}" + "".join(f"{name:>7}" for name in ("R@1", "R@5", "R@10") * 2) + f"{'mR':>8}",
    ]
    for variant in RERANK_VARIANTS:
        if results["mean"][variant] is None:
            continue
        title = variant.replace("_", " ")
        rows = [(f"fold {fold['fold']}, {title}", fold[variant]) for fold in results["folds"]]
        if len(results["folds"]) > 1:
            rows += [(f"mean, {title}", results["mean"][variant])]
            rows += [(f"std, {title}", results["std"][variant])]
        aware = results["duplicate_aware"]["mean"][variant]
        rows += [("mean, same text counts*", aware)]
        lines += _rows(rows)
    if results["methods"]:
        lines.append("re-ranking methods, mean of all folds, and what each reads")
        for name, method in results["methods"].items():
            lines += _rows([(name, method["mean"])])
            lines[-1] += f"  {method['reads']}"
    used = results["folds"][0]["rerank"]
    if used is not None:
        lines.append(f"rerank: {used['method']}, which reads {used['reads']}")
    lines.append("* any image that carries the query's text, or any caption of that text, is right")
    return "\n".join(lines)


def _rows(rows: Iterable[tuple[str, Metrics]]) -> list[str]:
    return [
        f"{title:<28}"
        + "".join(f"{metrics[key]:7.2f}" for key in RECALLS[:-1])
        + f"{metrics['mR']:8.2f}"
        for title, metrics in rows
    ]
