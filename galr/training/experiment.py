"""An experiment: train every fold of the training images, each selected on its own validation."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from galr.common import distributed
from galr.common.atomic import write_json
from galr.common.device import choose_device
from galr.common.errors import UserError
from galr.data.folds import make_folds
from galr.data.image_cache import ImageFiles
from galr.data.part import Part, Split, read_split
from galr.data.vocabulary import read_tokenizer
from galr.evaluation.results import versions
from galr.options import Options
from galr.training.fold_trainer import FoldTrainer
from galr.training.precision import autocast_type, described
from galr.training.schedule import cpu_seconds

logger = logging.getLogger(__name__)


def train_experiment(
    options: Options, *, resume: bool = False, overwrite: bool = False, out: str | None = None
) -> None:
    """Trains the folds; the test part takes no part.

    ``resume`` goes on with what is unfinished, ``overwrite`` deletes an earlier run's checkpoints;
    with neither, an earlier run is an error. ``out`` names a file for a summary of the folds.
    """
    device = choose_device(distributed.local_device(options.device))
    with distributed.process_group(device):
        summary = _train_folds(options, device, resume=resume, overwrite=overwrite)
        if out is not None and distributed.is_main():
            resolved = options.model_dump(mode="json")
            write_json(out, {"folds": summary, "options": resolved, "versions": versions()})


def _train_folds(
    options: Options, device: torch.device, *, resume: bool, overwrite: bool
) -> list[dict[str, Any]]:
    """The row of each fold's best validation."""
    folder = options.experiment_folder
    if options.distributed.exact:
        options = options.without_dropout()
    distributed.on_main(lambda: _make_way(folder, resume=resume, overwrite=overwrite), device)
    with distributed.main_first():
        tokenizer = read_tokenizer(options)
        split = read_split(options, "train")
        options = split.options
        files, training, validation = _images_of(split)
    distributed.check_alike(
        {
            "options": options.model_dump_json(exclude={"device"}),
            "words in its vocabulary": "\n".join(tokenizer.words),
            "training images and captions": split.annotations.digest,
        },
        device,
    )
    folds = make_folds(
        len(split.annotations.images),
        options.k_fold.mode,
        options.k_fold.nums,
        options.k_fold.validation_share,
        options.seed,
    )
    for remark in _remarks(options):
        logger.warning("%s", remark)
    logger.info("precision: %s", described(autocast_type(options.optim.amp, device)))
    summary, started = [], 0.0
    for index, fold in enumerate(folds):
        progress = FoldTrainer(
            options,
            index,
            folder / str(index),
            training.select(fold.train),
            validation.select(fold.validation),
            tokenizer,
            device,
            started,
            files,
        ).run()
        started = cpu_seconds()
        if progress.best_epoch < 0:
            raise UserError(
                "optim.epochs",
                f"is {options.optim.epochs}, and fold {index} has {progress.epoch + 1} epochs "
                "behind it, none of them validated",
                "resume with more",
            )
        logger.info(
            "fold %d: best validation mR %.2f at epoch %d, %s",
            index, progress.best_mR, progress.best_epoch, folder / str(index) / "best.pth",
        )  # fmt: skip
        best = progress.history[progress.best_epoch]
        summary.append({"fold": index, "validation": best})
    return summary


def _remarks(options: Options) -> Iterator[str]:
    """What the options ask for and do not get."""
    backbone, optim, dataset = options.model.backbone, options.optim, options.dataset
    in_parts = optim.micro_batch is not None and optim.micro_batch < dataset.batch_size
    if in_parts and backbone.batch_norm == "batch" and backbone.train != "none":
        yield (
            f"optim.micro_batch: batch normalisation sees {optim.micro_batch} pairs at a time, so "
            "the loss is not that of the whole batch; model.backbone.batch_norm=frozen makes it so"
        )
    if optim.same_image != "negative" and dataset.sampling == "images":
        yield (
            f"optim.same_image: {optim.same_image} has no effect with dataset.sampling: images, "
            "where no batch repeats an image"
        )


def _images_of(split: Split) -> tuple[ImageFiles | None, Part, Part]:
    """The whole split for training and for validation, and its files where maps stand for them."""
    dataset = split.options.dataset
    if not split.options.model.backbone.cache_maps:
        return None, split.at(dataset.resize_size), split.at(dataset.image_size)
    logger.info(
        "model.backbone.cache_maps: training images are as in evaluation, "
        "neither turned, cropped nor recoloured"
    )
    files = split.files()
    part = Part(split.annotations, files, split.local)
    return files, part, part


def _make_way(folder: Path, *, resume: bool, overwrite: bool) -> bytes:
    """Keeps a new run from writing over an earlier one unasked; nothing to tell the other ranks."""
    earlier = sorted(folder.glob("[0-9]*/*.pth"))
    if not earlier or resume:
        return b""
    if not overwrite:
        raise UserError(
            folder,
            f"holds {len(earlier)} checkpoints of an earlier run",
            "--resume goes on with it, --overwrite deletes it, "
            "and --set k_fold.experiment_name=NAME starts beside it",
        )
    for fold in {path.parent for path in earlier}:
        shutil.rmtree(fold)
    return b""
