"""An experiment: the folds of the training images, each selected on its own validation part."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

from galr.common import distributed
from galr.common.atomic import write_json
from galr.common.device import choose_device
from galr.common.errors import UserError
from galr.common.folder_lock import only_writer_of_ranks
from galr.evaluation.evaluator import Evaluation, evaluate_experiment
from galr.evaluation.results import versions
from galr.metrics.galleries import validation_facts
from galr.options import Options, load_options
from galr.training.checkpoint import TrainerState
from galr.training.data import read_training_data
from galr.training.fold_trainer import FoldTrainer
from galr.training.optimizer import autocast_dtype
from galr.training.schedule import clock

logger = logging.getLogger(__name__)


class Trainer:
    """Trains and tests the folds of an experiment.

        trainer = galr.Trainer("options/demo_GaLR.yaml")
        trainer.fit()
        print(trainer.test().table)

    ``options``: the options, or their file. ``folder`` receives a folder per fold, which
    ``galr.load`` opens. A time budget (``optim.budget_seconds``) counts from ``started``, seconds
    since the process began; by default from now.
    """

    def __init__(self, options: Options | str | Path, *, started: float | None = None) -> None:
        self.options = options if isinstance(options, Options) else load_options(options)
        self.folder = self.options.experiment_folder
        self.started = clock(self.options.optim) if started is None else started

    def fit(
        self,
        *,
        resume: bool = False,
        overwrite: bool = False,
        out: str | Path | None = None,
        fold: int | None = None,
    ) -> list[TrainerState]:
        """Trains the folds; returns the state of each, with the history of its epochs.

        ``resume`` continues an earlier run of the experiment, ``overwrite`` deletes it; with
        neither, an earlier run is an error. ``out``: a JSON file for the best validations.
        ``fold``: train this one alone. The test split is not read. Raises UserError for wrong
        options, data or checkpoints, and RunError where the loss becomes NaN or infinite.
        """
        options, summary, states = self.options, [], []
        if options.distributed.exact:
            options = options.without_dropout()
        device = choose_device(distributed.local_device(options.device))
        # folds may be trained by a process each, but not during a run of the whole experiment
        folder, leftovers = self.folder, "[0-9]*/*.tmp"
        if fold is not None:
            folder, leftovers = folder / str(fold), "*.tmp"
        held = only_writer_of_ranks(folder, leftovers, device, part=fold is not None)
        with distributed.process_group(device), held as lock:
            distributed.on_main(lambda: self.make_room(resume, overwrite, keep=folder), device)
            data = read_training_data(options, device)
            for warning in _warnings(options):
                logger.warning("%s", warning)
            dtype = autocast_dtype(options.optim.amp, device)
            logger.info("precision: %s", "float32" if dtype is None else f"{dtype}, loss float32")
            started = self.started
            for index in range(len(data.folds)) if fold is None else (fold,):
                state = FoldTrainer(data, index, device, started).fit()
                lock.check()
                started = clock(options.optim)
                best = self._best(index, state, len(data.folds[index].validation), data.test_images)
                summary.append({"fold": index, "validation": best})
                states.append(state)
            if out is not None and distributed.is_main():
                resolved = self.options.model_dump(mode="json")
                write_json(out, {"folds": summary, "options": resolved, "versions": versions()})
        return states

    def test(self) -> Evaluation:
        """Evaluates the best checkpoint of each fold on the test split; writes results.json."""
        return evaluate_experiment(self.options)

    def _best(
        self, index: int, state: TrainerState, images: int, of_test: int | None
    ) -> dict[str, float]:
        """The row of a fold's best validation."""
        if state.best_epoch < 0:
            raise UserError(
                "optim.epochs",
                f"is {self.options.optim.epochs}, and none of the {state.epoch + 1} epochs of fold "
                f"{index} was validated",
                "resume with more",
            )
        row = state.history[state.best_epoch]
        logger.info(
            "fold %d: best validation mR %.2f at epoch %d, %s",
            index, state.best_mR, state.best_epoch, self.folder / str(index) / "best.pth",
        )  # fmt: skip
        if of_test:
            facts = validation_facts(row, images, of_test)
            logger.info("fold %d: validation: %s", index, facts["validation_gallery"])
        return row

    def make_room(self, resume: bool, overwrite: bool, keep: Path | None = None) -> bytes:
        """Protects or deletes an earlier run, but not the folder ``keep`` itself.

        Returns what ``distributed.on_main`` sends to the other ranks: nothing.
        """
        earlier = sorted(self.folder.glob("[0-9]*/*.pth"))
        if not earlier or resume:
            return b""
        if not overwrite:
            raise UserError(
                self.folder,
                f"holds {len(earlier)} checkpoints of an earlier run",
                "--resume continues it, --overwrite deletes it, "
                "and --set k_fold.experiment_name=NAME trains beside it",
            )
        for path in sorted(earlier, key=lambda path: path.name != "last.pth"):
            path.unlink()  # those first by which half of the earlier run would be resumed
        for fold in {path.parent for path in earlier}:
            shutil.rmtree(fold) if fold != keep else _empty(fold)
        return b""


def _empty(folder: Path) -> None:
    for each in folder.iterdir():
        shutil.rmtree(each) if each.is_dir() else each.unlink()


def _warnings(options: Options) -> Iterator[str]:
    """Warns of options whose effect may surprise."""
    backbone, optim, dataset = options.model.backbone, options.optim, options.dataset
    micro = optim.micro_batch is not None and optim.micro_batch < dataset.batch_size
    if micro and backbone.batch_norm == "batch" and backbone.train != "none":
        yield (
            f"optim.micro_batch: batch normalisation sees {optim.micro_batch} pairs at a time, so "
            "the loss differs from that of the whole batch; model.backbone.batch_norm=frozen "
            "avoids it"
        )
    if optim.same_image != "negative" and dataset.sampling == "images":
        yield (
            f"optim.same_image: {optim.same_image} has no effect with dataset.sampling: images, "
            "where no batch repeats an image"
        )
