"""What was trained, with which options and versions."""

from __future__ import annotations

import platform
from importlib import metadata

import yaml

from galr.evaluation.evaluate import method_settings
from galr.evaluation.results import versions
from galr.model.build import read_checkpoint
from galr.report.experiment import Experiment
from galr.report.outcome import Outcome
from galr.report.page import Html, element, joined, table
from postprocessing.methods import reads


def setting_part(experiment: Experiment, outcome: Outcome) -> Html:
    """The choices that matter most, the versions, and all options folded away."""
    written = yaml.safe_dump(
        experiment.options.model_dump(mode="json"), sort_keys=False, allow_unicode=True
    )
    return joined(
        [
            table(["", "value"], _choices(experiment, outcome), "The main choices."),
            _versions(experiment),
            element("details", element("summary", "All options (YAML)"), element("pre", written)),
        ]
    )


def _choices(experiment: Experiment, outcome: Outcome) -> list[tuple[str, str]]:
    options, test = experiment.options, outcome.test.annotations
    model = options.model
    local = model.fusion.type if outcome.has_local else "none: the global branch alone"
    return [
        ("data set", f"{options.dataset.datatype} ({options.dataset.data_path})"),
        ("test part", f"{len(test.images)} images, {len(test.captions)} captions"),
        ("folds", ", ".join(str(run.checkpoint) for run in experiment.folds)),
        ("global branch", "MVSA" if model.multiscale.enabled else "pooled last map"),
        ("local branch, fusion", local),
        ("text encoder", model.seq2vec.type),
        ("numbers an embedding", str(model.embed.embed_dim)),
        ("image side in pixels", str(options.dataset.image_size)),
        ("loss", f"{options.optim.loss}, margin {options.optim.margin:g}"),
        ("learning rate", f"{options.optim.lr:g}"),
        ("rerank", _rerank(experiment)),
        ("seed", str(options.seed)),
    ]


def _rerank(experiment: Experiment) -> str:
    rerank = experiment.options.rerank
    if not rerank.enabled:
        return "off (rerank.enabled)"
    what = f"{rerank.method}, which reads {reads(rerank.method, rerank.bank is not None)}"
    what += f" ({rerank.bank})" if rerank.bank is not None else ""
    if rerank.tune is not None:
        return f"{what}; numbers chosen on each fold's {rerank.tune} part"
    numbers = method_settings(rerank).parameters()
    return "; ".join([what, *(f"{name} {_short(value)}" for name, value in numbers.items())])


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _versions(experiment: Experiment) -> Html:
    trained = read_checkpoint(experiment.folds[0].checkpoint).get("versions")
    by_column = {
        "training": trained if isinstance(trained, dict) else {},
        "results.json": (experiment.results or {}).get("versions", {}),
        "this report": {**versions(), "matplotlib": metadata.version("matplotlib")},
    }
    names = list(dict.fromkeys(name for column in by_column.values() for name in column))
    rows = [[name, *(column.get(name, "–") for column in by_column.values())] for name in names]
    rows.append(["machine", "–", "–", f"{platform.system()} {platform.machine()}"])
    return table(["", *by_column], rows, "Versions that training, test and this report ran with.")
