"""Checkpoints of a fold: all that the next epoch depends on, whole or not at all."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch

from galr.atomic import atomic_path, write_text
from galr.errors import UserError
from galr.evaluation.results import versions
from galr.model.build import read_checkpoint
from galr.options import OptimOptions, Options, options_from_dict

# what may differ between a run and its continuation: where it runs, how long, what is reported
CHANGEABLE = (
    "base",
    "device",
    "optim.epochs",
    "optim.early_stop",
    "optim.compile",
    "dataset.workers",
    "dataset.batch_size_val",
    "dataset.image_cache",
    "dataset.image_cache_gb",
    "logs.print_freq",
    "logs.ckpt_save_path",
    "k_fold.nums",
    "rerank.",
)

# what depends on how many epochs there are in all, unless its value is such
_LAID_OVER_EPOCHS: Mapping[str, Callable[[Any], bool]] = {
    "optim.schedule": lambda kind: kind == "step",
    "optim.warmup": lambda share: share == 0,
    "model.backbone.unfreeze_at": lambda share: share == 0,
    "dataset.train_sizes": lambda sides: sides is None or len(sides) == 1,
}


class Stateful(Protocol):
    """What a checkpoint holds: a model, an optimiser and the like."""

    def state_dict(self) -> dict[str, Any]:
        """All that changes in training."""

    def load_state_dict(self, state: dict[str, Any], /) -> Any:  # noqa: ANN401 - torch's own differ
        """Goes on from what ``state_dict`` gave."""


@dataclass
class FoldProgress:
    """Where a fold stands after an epoch."""

    epoch: int = -1  # the last one that was finished
    best_mR: float = -1.0
    best_epoch: int = -1
    validations_since_best: int = 0
    cpu_seconds: float = 0.0  # of the processor, the validation of the epoch included
    spent: bool = False  # whether the budget of processor seconds is
    history: list[dict[str, float]] = field(default_factory=list)  # a row an epoch

    def add(self, row: dict[str, float]) -> bool:
        """Counts an epoch; true where its validation is the best so far."""
        self.epoch = int(row["epoch"])
        self.history.append(row)
        if "mR" not in row:
            return False
        if row["mR"] <= self.best_mR:
            self.validations_since_best += 1
            return False
        self.best_mR, self.best_epoch, self.validations_since_best = row["mR"], self.epoch, 0
        return True

    def is_finished(self, options: OptimOptions) -> bool:
        """Whether all epochs or seconds are done, or so many validations brought nothing better."""
        patience = options.early_stop
        if patience is not None and self.validations_since_best >= patience:
            return True
        return self.spent if options.budget_seconds else self.epoch + 1 >= options.epochs


class Checkpoint:
    """Saves and restores the training state of one fold of one experiment."""

    def __init__(
        self,
        options: Options,
        words: Sequence[str],
        *,
        fold: int,
        train: Sequence[str],
        validation: Sequence[str],
    ) -> None:
        """``train`` and ``validation`` are the image names of the fold's two parts."""
        self.belongings: dict[str, Any] = {
            "options": options.model_dump(mode="json"),
            "vocabulary": list(words),
            "fold": {"index": fold, "train": list(train), "validation": list(validation)},
        }

    def save(self, path: Path, parts: Mapping[str, Stateful], progress: FoldProgress) -> None:
        """Writes the states of ``parts``, by their names, to ``path`` atomically."""
        state = {
            **{name: part.state_dict() for name, part in parts.items()},
            "progress": asdict(progress),
            "epoch": progress.epoch,
            "versions": versions(),
            **self.belongings,
        }
        with atomic_path(path) as temporary:
            torch.save(state, temporary)

    def load(self, path: Path, parts: Mapping[str, Stateful]) -> FoldProgress:
        """Puts the states in ``path`` into ``parts``.

        Raises UserError where the run was of other options, another vocabulary or other images.
        """
        state = read_checkpoint(path)
        if not {*parts, "progress", *self.belongings} <= state.keys():
            raise UserError(
                path,
                "holds a model but no training to go on with",
                "test it by test_single.py, or start anew by --overwrite",
            )
        # an option that came after the checkpoint had its default then
        stored = options_from_dict(state["options"], f"{path} (its options)")
        self._check_options(path, stored.model_dump(mode="json"))
        for key, what in (("vocabulary", "another vocabulary"), ("fold", "other images")):
            if state[key] != self.belongings[key]:
                raise UserError(
                    path, f"was trained with {what}", "restore them, or start anew by --overwrite"
                )
        for name, part in parts.items():
            part.load_state_dict(state[name])
        return FoldProgress(**state["progress"])

    def _check_options(self, path: Path, options: dict[str, Any]) -> None:
        before, now = _flat(options), _flat(self.belongings["options"])
        for key in sorted(before.keys() | now.keys()):
            if not key.startswith(CHANGEABLE) and before.get(key) != now.get(key):
                raise UserError(
                    path,
                    f"was trained with {key}: {before.get(key)}, and now it is {now.get(key)}",
                    "resume with the same options, or name another k_fold.experiment_name",
                )
        laid_over = [key for key, is_plain in _LAID_OVER_EPOCHS.items() if not is_plain(now[key])]
        if before["optim.epochs"] != now["optim.epochs"] and laid_over:
            raise UserError(
                path,
                f"was trained with optim.epochs: {before['optim.epochs']}, over which "
                f"{laid_over[0]}: {now[laid_over[0]]} was laid, and now it is "
                f"{now['optim.epochs']}",
                "resume with as many, or name another k_fold.experiment_name",
            )


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= (
            _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
    return flat


def write_log(path: Path, history: list[dict[str, float]]) -> None:
    """Writes log.csv: a row an epoch; recalls stand in the epochs that were validated."""
    columns = list(dict.fromkeys(key for row in history for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_text(path, text.getvalue())
