"""What re-ranks a fold beside the options: a bank of training images and captions, and tuning."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from galr.common.errors import UserError
from galr.data.part import Part, read_split
from galr.data.vocabulary import Tokenizer
from galr.evaluation.encode import Embeddings, encode_part
from galr.evaluation.evaluate import FoldRerank, settings_by_method
from galr.metrics.similarities import FeatureProduct
from galr.model.comparison import Cosine, alike
from galr.model.retrieval_model import RetrievalModel
from galr.options import Options
from postprocessing.banks import Bank
from postprocessing.task import NO_BANKS, Banks, RetrievalTask
from postprocessing.tuning import tune

logger = logging.getLogger(__name__)


def reads_more_than_the_test_part(options: Options) -> bool:
    """Whether rerank needs the model for anything but the test part."""
    return options.rerank.bank is not None or options.rerank.tune is not None


def fold_rerank(
    options: Options,
    model: RetrievalModel,
    tokenizer: Tokenizer,
    fold: Mapping[str, Any],
    checkpoint: Path,
    test: Embeddings | None,
) -> FoldRerank:
    """The settings and banks of a fold; ``test`` may be None where neither bank nor tuning is.

    ``fold`` is what the checkpoint says of its training and validation images. Raises UserError
    where it says nothing and the options need it.
    """
    settings = settings_by_method(options.rerank)
    if test is None or not settings:
        return FoldRerank(settings)
    bank = _bank(options, model, tokenizer, fold, checkpoint)
    banks = NO_BANKS if bank is None else banks_of(bank, test)
    if options.rerank.tune is None:
        return FoldRerank(settings, banks)
    part = images_of_training_part(options, checkpoint, _named(fold, "validation", checkpoint))
    validation = encode_part(model, part, tokenizer, options.dataset)
    task = RetrievalTask.of(
        validation.similarity(),
        part.annotations.caption_to_image,
        NO_BANKS if bank is None else banks_of(bank, validation),
    )
    for method, own in settings.items():
        tuned = tune(own, task)
        logger.info("%s, validation mR %.2f: %s", method, tuned.mean_recall,
                    tuned.settings.parameters())  # fmt: skip
        settings[method] = tuned.settings
    return FoldRerank(settings, banks)


def banks_of(bank: Embeddings, part: Embeddings) -> Banks:
    """The bank's images and captions compared with those of a part, in both directions."""
    bank_images, bank_captions, images, captions = (
        own.cpu() for own in (bank.images, bank.captions, part.images, part.captions)
    )
    if isinstance(part.comparison, Cosine):
        across = within = None  # a product
    else:
        across, within = copy.deepcopy(part.comparison).cpu(), alike
    asked_captions = FeatureProduct(images, bank_captions, across).T
    return Banks(
        Bank(FeatureProduct(bank_images, captions, across),
             FeatureProduct(bank_captions, captions, within)),
        Bank(asked_captions, FeatureProduct(bank_images, images, within)),
    )  # fmt: skip


def images_of_training_part(options: Options, checkpoint: Path, names: list[str]) -> Part:
    """The named images of the training part; raises UserError where one is not in it."""
    split = read_split(options, "train")
    place = {name: index for index, name in enumerate(split.annotations.images)}
    unknown = [name for name in names if name not in place]
    if unknown:
        raise UserError(
            checkpoint,
            f"its image {unknown[0]} is not in {options.dataset.data_path}",
            "name the data folder that it was trained on by dataset.data_path",
        )
    indices = np.array([place[name] for name in names], dtype=np.int64)
    return split.at(options.dataset.image_size).select(indices)


def _named(fold: Mapping[str, Any], part: str, checkpoint: Path) -> list[str]:
    if part not in fold:
        raise UserError(
            checkpoint,
            f"does not say which images are its {part} part",
            "set rerank.bank and rerank.tune to null, or evaluate a checkpoint of train.py",
        )
    return list(fold[part])


def _bank(
    options: Options,
    model: RetrievalModel,
    tokenizer: Tokenizer,
    fold: Mapping[str, Any],
    checkpoint: Path,
) -> Embeddings | None:
    if options.rerank.bank is None:
        return None
    if options.rerank.bank == "train":
        part = images_of_training_part(options, checkpoint, _named(fold, "train", checkpoint))
    else:
        changes = {"data_path": options.rerank.bank, "image_path": None}
        dataset = options.dataset.model_copy(update=changes)
        elsewhere = options.model_copy(update={"dataset": dataset})
        part = read_split(elsewhere, "train").at(dataset.image_size)
    return encode_part(model, part, tokenizer, options.dataset)
