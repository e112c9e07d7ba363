"""Checkpoints of a fold: all that the next epoch depends on, whole or not at all."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch

from galr.common.atomic import atomic_path, write_text
from galr.common.errors import UserError
from galr.evaluation.results import versions
from galr.model.build import read_checkpoint
from galr.model.weights import read_bytes
from galr.options import (
    RUN_SETTINGS,
    OptimOptions,
    Options,
    differences,
    is_under,
    options_from_dict,
    yaml_value,
)

# what a resumed run may change: where it runs, how long, what is reported
CHANGEABLE = (
    *RUN_SETTINGS,
    "optim.epochs",
    "optim.early_stop",
    "optim.compile",
    "k_fold.nums",
    "rerank.",
)


def stretched_by_epochs(options: Options) -> str | None:
    """The first option whose effect on an epoch depends on ``optim.epochs``; None without one.

    Under a time budget these are shares of the budget, and the step schedule alone counts epochs.
    """
    optim = options.optim
    if optim.budget_seconds is not None:
        return "optim.schedule" if optim.schedule == "step" else None
    shares = {
        "optim.schedule": optim.schedule != "step",
        "optim.warmup": optim.warmup > 0,
        "model.backbone.unfreeze_at": options.model.backbone.unfreeze_at > 0,
        "dataset.train_sizes": len(options.dataset.sides) > 1,
    }
    return next((key for key, is_share in shares.items() if is_share), None)


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
        self.options = options
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

    def load(
        self, path: Path, parts: Mapping[str, Stateful], content: bytes | None = None
    ) -> FoldProgress:
        """Puts the states in ``path`` into ``parts``.

        ``content`` is that of the file where it was read already. Raises UserError where the run
        was of other options, another vocabulary or other images.
        """
        state = self._checked(path, parts, content)
        for name, part in parts.items():
            try:
                part.load_state_dict(state[name])
            except (RuntimeError, ValueError, KeyError) as error:
                raise UserError(
                    path,
                    f"its entry {name} does not fit ({error})",
                    "it may be of an earlier version: resume with that, or start anew by "
                    "--overwrite",
                ) from None
        return FoldProgress(**state["progress"])

    def checked_bytes(self, path: Path, parts: Mapping[str, Stateful]) -> bytes:
        """The content of a checkpoint that ``load`` accepts; raises as it does."""
        content = read_bytes(path, "resume where its folder is, or start anew by --overwrite")
        self._checked(path, parts, content)
        return content

    def _checked(
        self, path: Path, parts: Mapping[str, Stateful], content: bytes | None
    ) -> dict[str, Any]:
        state = read_checkpoint(path, content)
        if not {*parts, "progress", *self.belongings} <= state.keys():
            raise UserError(
                path,
                "holds a model but no training to go on with",
                "test it by test_single.py, or start anew by --overwrite",
            )
        # an option that came after the checkpoint had its default then
        stored = options_from_dict(state["options"], f"{path} (its options)")
        self._check_options(path, stored)
        for key, what in (("vocabulary", "another vocabulary"), ("fold", "other images")):
            if state[key] != self.belongings[key]:
                raise UserError(
                    path, f"was trained with {what}", "restore them, or start anew by --overwrite"
                )
        return state

    def _check_options(self, path: Path, trained: Options) -> None:
        for key, before, now in differences(trained, self.options):
            if not is_under(key, CHANGEABLE):
                raise UserError(
                    path,
                    f"was trained with {key}: {yaml_value(before)}, and now it is "
                    f"{yaml_value(now)}",
                    "resume with the same options, or name another k_fold.experiment_name",
                )
        stretched = stretched_by_epochs(self.options)
        before, now = trained.optim.epochs, self.options.optim.epochs
        if before != now and stretched is not None:
            raise UserError(
                path,
                f"was trained with optim.epochs: {before}, which {stretched} depends on, and now "
                f"it is {now}",
                "resume with the same number, or name another k_fold.experiment_name",
            )


def write_log(path: Path, history: list[dict[str, float]]) -> None:
    """Writes log.csv: a row an epoch; recalls stand in the epochs that were validated."""
    columns = list(dict.fromkeys(key for row in history for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_text(path, text.getvalue())
