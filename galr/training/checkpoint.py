"""Checkpoints of a fold: everything that the next epoch depends on, written atomically."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch

from galr.common.errors import UserError
from galr.common.saving import save_torch
from galr.evaluation.results import versions
from galr.images.trained_on import Digests, first_difference, known_digests
from galr.model.build import read_checkpoint
from galr.options import (
    RUN_SETTINGS,
    OptimOptions,
    Options,
    differences,
    is_under,
    stored_options,
    yaml_value,
)
from galr.weights.files import read_bytes

# what a resumed run may change: where it runs, how long, and what is reported
CHANGEABLE = (
    *RUN_SETTINGS,
    "optim.epochs",
    "optim.early_stop",
    "optim.compile",
    "k_fold.nums",
    "rerank.",
)


def depends_on_epochs(options: Options) -> str | None:
    """The first option whose effect on an epoch depends on ``optim.epochs``, or None.

    With a time budget, only the step schedule does; the others are fractions of the budget.
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
    """A model, an optimiser or anything else with a state."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that training changes."""

    def load_state_dict(self, state: dict[str, Any], /) -> Any:  # noqa: ANN401 - torch's own differ
        """Restores what ``state_dict`` returned."""


@dataclass
class TrainerState:
    """The state of a fold after an epoch, without the weights."""

    epoch: int = -1  # the last finished one
    best_mR: float = -1.0
    best_epoch: int = -1
    validations_since_best: int = 0
    cpu_seconds: float = 0.0  # including the validation of the epoch
    spent: bool = False  # whether the time budget is
    history: list[dict[str, float]] = field(default_factory=list)  # the rows of log.csv
    setup_seconds: float = 0.0  # of cpu_seconds, before the first step

    def add(self, row: dict[str, float]) -> bool:
        """Adds the row of an epoch; returns whether its validation is the best so far."""
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
        """Whether all epochs are done, the time budget is spent, or early stopping applies."""
        patience = options.early_stop
        if patience is not None and self.validations_since_best >= patience:
            return True
        return self.spent if options.budget_seconds else self.epoch + 1 >= options.epochs


class Checkpoint:
    """Saves and restores the training of one fold."""

    def __init__(
        self,
        options: Options,
        words: Sequence[str],
        *,
        fold: int,
        train: Sequence[str],
        validation: Sequence[str],
        digests: Digests | None = None,
    ) -> None:
        """``train`` and ``validation`` are the image names of the fold's two parts.

        ``digests``: those of the images' content, by part; without, it is not compared.
        """
        self.options, self.digests = options, digests or {}
        self.identity: dict[str, Any] = {  # what a resumed run must share
            "options": options.model_dump(mode="json"),
            "vocabulary": list(words),
            "fold": {"index": fold, "train": list(train), "validation": list(validation)},
        }

    def save(self, path: Path, parts: Mapping[str, Stateful], state: TrainerState) -> None:
        """Writes the states of ``parts``, by their names, to ``path`` atomically."""
        entries = {
            **{name: part.state_dict() for name, part in parts.items()},
            "progress": asdict(state),
            "epoch": state.epoch,
            "versions": versions(),
            "image_digests": {part: torch.from_numpy(x) for part, x in self.digests.items()},
            **self.identity,
        }
        save_torch(path, entries, parents=False)  # a folder that was moved away is missed

    def load(
        self, path: Path, parts: Mapping[str, Stateful], content: bytes | None = None
    ) -> TrainerState:
        """Restores ``parts`` from ``path``, or from its ``content`` where that was read already.

        Raises UserError where the run had other options, another vocabulary or other images.
        """
        entries = self._checked(path, parts, content)
        for name, part in parts.items():
            try:
                part.load_state_dict(entries[name])
            except (RuntimeError, ValueError, KeyError) as error:
                raise UserError(
                    path,
                    f"its entry {name} does not fit ({error})",
                    "resume with the version that wrote it, or start over with --overwrite",
                ) from None
        return TrainerState(**entries["progress"])

    def checked_bytes(self, path: Path, parts: Mapping[str, Stateful]) -> bytes:
        """The content of a checkpoint that ``load`` accepts; raises as ``load`` does."""
        content = read_bytes(
            path, "resume on the machine that has its folder, or start over with --overwrite"
        )
        self._checked(path, parts, content)
        return content

    def _checked(
        self, path: Path, parts: Mapping[str, Stateful], content: bytes | None
    ) -> dict[str, Any]:
        entries = read_checkpoint(path, content)
        missing = {*parts, "progress", *self.identity} - entries.keys()
        if missing:
            raise UserError(
                path,
                f"cannot be resumed: missing key {min(missing)!r}",
                "evaluate it with test_single.py, or start over with --overwrite",
            )
        # options that are newer than the checkpoint had their defaults then
        self._check_options(path, stored_options(entries["options"], path))
        for key, what in (("vocabulary", "another vocabulary"), ("fold", "other images")):
            if entries[key] != self.identity[key]:
                raise UserError(
                    path, f"was trained with {what}", "restore them, or start over with --overwrite"
                )
        names = {part: self.identity["fold"][part] for part in self.digests}
        then = known_digests(entries.get("image_digests"), names)
        if (differing := first_difference(names, then, self.digests)) is not None:
            raise UserError(
                path,
                f"was trained with other images of the same names: {differing[0]} differ, for "
                f"example {differing[1]}",
                "restore them, or start over with --overwrite",
            )
        return entries

    def _check_options(self, path: Path, trained: Options) -> None:
        for key, before, now in differences(trained, self.options):
            if not is_under(key, CHANGEABLE):
                raise UserError(
                    path,
                    f"was trained with {key}: {yaml_value(before)}, and now it is "
                    f"{yaml_value(now)}",
                    "resume with the same options, or choose another k_fold.experiment_name",
                )
        dependent = depends_on_epochs(self.options)
        before, now = trained.optim.epochs, self.options.optim.epochs
        if before != now and dependent is not None:
            raise UserError(
                path,
                f"was trained with optim.epochs: {before}, which {dependent} depends on, and now "
                f"it is {now}",
                "resume with the same number, or choose another k_fold.experiment_name",
            )
