"""What was trained, with which options and versions."""

from __future__ import annotations

import platform
from importlib import metadata

import yaml
from markupsafe import Markup

from galr.evaluation.reranking import method_settings
from galr.evaluation.results import evaluation_differences, versions
from galr.model.build import read_checkpoint
from galr.options import Options, yaml_value
from galr.report.experiment import Experiment
from galr.report.outcome import Outcome
from galr.report.page import joined, part, table
from postprocessing.methods import reads


def setting_part(experiment: Experiment, outcome: Outcome) -> Markup:
    """The choices that matter most, the versions, and all options folded away."""
    return joined(
        [
            table(["", "value"], _choices(experiment, outcome), "The main choices."),
            _differences(experiment),
            _versions(experiment),
            _yaml("All options of the training (YAML)", experiment.trained),
            _yaml("All options of the test (YAML)", experiment.options),
        ]
    )


def _yaml(title: str, options: Options) -> Markup:
    text = yaml.safe_dump(options.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    return part("details", title, part("preformatted", text))


def _differences(experiment: Experiment) -> Markup:
    """The options of the test that are not those of the training."""
    rows = [
        (each.key, yaml_value(each.before), yaml_value(each.after))
        for each in evaluation_differences(experiment.trained, experiment.options)
    ]
    if not rows:
        return part("note", "The test was run with the options of the training.")
    return table(["option", "training", "test"], rows, "Where training and test differ.")


def _choices(experiment: Experiment, outcome: Outcome) -> list[tuple[str, str]]:
    options, trained = experiment.options, experiment.trained
    test, model = outcome.test.annotations, trained.model
    local = model.fusion.type if outcome.has_local else "none: the global branch alone"
    return [
        ("data set", f"{options.dataset.datatype} ({options.dataset.data_path})"),
        ("test part", f"{len(test.images)} images, {len(test.captions)} captions"),
        ("folds", ", ".join(str(run.checkpoint) for run in experiment.folds)),
        ("global branch", model.global_branch),
        ("local branch, fusion", local),
        ("text encoder", model.text_name),
        ("numbers an embedding", str(model.embed.embed_dim)),
        ("image side in pixels", str(options.dataset.image_size)),
        ("loss", f"{trained.optim.loss}, margin {trained.optim.margin:g}"),
        ("learning rate", f"{trained.optim.lr:g}"),
        ("rerank", _rerank(experiment)),
        ("seed", str(trained.seed)),
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


def _versions(experiment: Experiment) -> Markup:
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
