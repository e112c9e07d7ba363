"""Checkpoints of a fold: all that the next epoch depends on, whole or not at all."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from galr.atomic import atomic_path, write_text
from galr.errors import UserError
from galr.evaluation.results import versions
from galr.options import Options

FORMAT = 1

# what may differ between a run and its continuation: where it runs and how long
CHANGEABLE = frozenset(
    {
        "base",
        "device",
        "optim.epochs",
        "optim.early_stop",
        "dataset.workers",
        "dataset.batch_size_val",
        "dataset.image_cache",
        "dataset.image_cache_gb",
        "logs.print_freq",
        "logs.ckpt_save_path",
        "k_fold.nums",
    }
)


@dataclass
class TrainingProgress:
    """Where a fold stands after an epoch."""

    fold: int
    epoch: int = -1  # the last one finished
    best_mR: float = -1.0
    best_epoch: int = -1
    validations_since_best: int = 0
    history: list[dict[str, float]] = field(default_factory=list)  # a row an epoch


def save_checkpoint(
    path: Path,
    model: nn.Module,
    optimizer: Optimizer,
    progress: TrainingProgress,
    options: Options,
    words: tuple[str, ...],
    split: dict[str, list[str]],
) -> None:
    """Writes ``path`` atomically; ``split`` holds the image names of the fold's two parts."""
    state = {
        "format": FORMAT,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "progress": asdict(progress),
        "epoch": progress.epoch,
        "options": options.model_dump(mode="json"),
        "vocabulary": list(words),
        "split": split,
        "versions": versions(),
    }
    with atomic_path(path) as temporary:
        torch.save(state, temporary)


def resume_from(
    path: Path,
    state: dict[str, Any],
    model: nn.Module,
    optimizer: Optimizer,
    options: Options,
    words: tuple[str, ...],
    split: dict[str, list[str]],
) -> TrainingProgress:
    """Puts the state of a checkpoint into ``model`` and ``optimizer``.

    Raises UserError where the options, the vocabulary or the images are not those of the run.
    """
    if "optimizer" not in state or "progress" not in state:
        raise UserError(
            path, "holds a model but no training state", "test it with test_single.py --resume"
        )
    _check_same_options(path, state["options"], options.model_dump(mode="json"))
    if state["vocabulary"] != list(words):
        raise UserError(
            path, "was trained with another vocabulary", "restore that vocabulary or start anew"
        )
    if state["split"] != split:
        raise UserError(
            path, "was trained on other images", "restore the data folder or start anew"
        )
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return TrainingProgress(**state["progress"])


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _check_same_options(path: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    before, now = _flat(old), _flat(new)
    for key in sorted(before.keys() | now.keys()):
        if key in CHANGEABLE or key.startswith("rerank."):
            continue
        if before.get(key) != now.get(key):
            raise UserError(
                path,
                f"was trained with {key} = {before.get(key)!r}, not {now.get(key)!r}",
                "resume with the same options, or name another k_fold.experiment_name",
            )


def write_log(path: Path, history: list[dict[str, float]]) -> None:
    """Writes log.csv: a row an epoch; recalls stand in the epochs that were validated."""
    columns = list(dict.fromkeys(key for row in history for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_text(path, text.getvalue())
