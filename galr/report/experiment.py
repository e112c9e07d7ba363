"""The folder of an experiment: its checkpoints, logs, options and results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from galr.common.errors import UserError
from galr.evaluation.trained_fold import checkpoint_tree
from galr.model.build import read_checkpoint
from galr.monitoring.epoch_log import read_log
from galr.options import Options, options_from_dict, stored_options

TRAIN = "train it with train.py, or name the folder of another experiment"


@dataclass(frozen=True)
class FoldRun:
    """A trained fold: its number, best.pth, and the rows of its log.csv by column."""

    index: int
    checkpoint: Path
    history: list[dict[str, float]]

    @property
    def best_row(self) -> dict[str, float]:
        """The epoch of the best validation, whose weights best.pth holds; empty where unknown."""
        validated = [row for row in self.history if "mR" in row]
        return max(validated, key=lambda row: row["mR"], default={})


@dataclass(frozen=True)
class Experiment:
    """What the report is of; ``results`` is the content of results.json, None without one."""

    folder: Path
    options: Options  # of the test
    trained: Options  # of the training, as the first checkpoint tells; or else those of the test
    folds: list[FoldRun]
    results: dict[str, Any] | None

    @property
    def name(self) -> str:
        """As in the options, and of a single checkpoint its file too."""
        name = self.options.k_fold.experiment_name
        only = self.folds[0].checkpoint
        return f"{name}, {only.name}" if only.parent == self.folder else name

    @property
    def best_fold(self) -> int:
        """The fold that validated best; the first of equal ones."""
        return max(self.folds, key=lambda fold: fold.best_row.get("mR", -1.0)).index


def read_experiment(
    folder: str | Path, overrides: Sequence[str] = (), options: Options | None = None
) -> Experiment:
    """Reads a folder that train.py made, or one checkpoint as an experiment of a single fold.

    ``options`` of None are those that results.json was made with or, where there is none of this
    model, those that the first checkpoint was trained with, changed by ``overrides``. Raises
    UserError for a folder that is missing or holds no checkpoints, and for damaged files.
    """
    folder = Path(folder)
    single = folder.is_file()
    checkpoints = {0: folder} if single else _checkpoints(folder)
    folder = folder.parent if single else folder
    results = _read_results(folder / "results.json")
    if options is None:
        tree, place = _stored_options(results, folder, next(iter(checkpoints.values())))
        options = options_from_dict(tree, place, overrides)
    folds = [
        FoldRun(index, path, read_log(path.parent / "log.csv"))
        for index, path in checkpoints.items()
        if index < options.k_fold.nums
    ]
    if not folds:
        raise UserError(
            folder,
            f"has no checkpoint of the folds 0..{options.k_fold.nums - 1}",
            "set k_fold.nums as it was trained",
        )
    stored = read_checkpoint(folds[0].checkpoint).get("options")
    trained = options
    if isinstance(stored, dict) and stored:
        trained = stored_options(stored, folds[0].checkpoint)
    return Experiment(folder, options, trained, folds, results)


def _checkpoints(folder: Path) -> dict[int, Path]:
    """best.pth by fold, in the order of folds."""
    if not folder.is_dir():
        raise UserError(folder, "there is no such experiment", TRAIN)
    found = {
        int(path.parent.name): path
        for path in folder.glob("*/best.pth")
        if path.parent.name.isdecimal()
    }
    if found:
        return dict(sorted(found.items()))
    if (folder / "best.pth").is_file():
        raise UserError(
            folder,
            "is one fold",
            f"name the experiment, {folder.parent}, or the checkpoint, {folder / 'best.pth'}",
        )
    unfinished = " yet (no fold was validated)" if list(folder.glob("*/last.pth")) else ""
    raise UserError(folder, f"holds no checkpoints N/best.pth{unfinished}", TRAIN)


def _read_results(path: Path) -> dict[str, Any] | None:
    try:
        results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(results, dict):
            raise TypeError("it is no mapping")
        tested = results.get("test_options", results["options"])  # before 0.2, options alone
        if not isinstance(tested, dict) or not isinstance(results["versions"], dict):
            raise TypeError("its options and versions are no mappings")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = f"no key {error}" if isinstance(error, KeyError) else error
        raise UserError(
            path, f"is not what test.py writes ({reason})", "delete it, or run test.py again"
        ) from None
    return results


def _stored_options(
    results: dict[str, Any] | None, folder: Path, checkpoint: Path
) -> tuple[dict[str, Any], str]:
    trained_with = checkpoint_tree(checkpoint)
    tested = {} if results is None else results.get("test_options", results["options"])
    if tested.get("model") == trained_with.get("model"):
        return tested, f"{folder / 'results.json'} (its options)"
    return trained_with, f"{checkpoint} (its options)"
