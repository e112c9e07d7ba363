"""The training split, read once for all folds."""

from __future__ import annotations

import logging
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from galr.common import distributed
from galr.data.annotations import image_count
from galr.data.folds import Fold, make_folds
from galr.data.part import Part, Split, read_split
from galr.data.vocabulary import Tokenizer, Vocabulary, read_tokenizer
from galr.images.content import image_digests
from galr.language.plausibility import warn_of_vocabulary
from galr.language.words import STOP_WORDS
from galr.leakage.folds import grouped_folds
from galr.leakage.parts import tied_images
from galr.options import Options

logger = logging.getLogger(__name__)


class TrainingData(NamedTuple):
    """The whole split at the training and at the validation image size, and its folds.

    ``digests`` (I,) are of the content of its image files. ``files``: these files, with
    ``cache_features``.
    """

    options: Options
    tokenizer: Tokenizer
    training: Part
    validation: Part
    folds: list[Fold]
    digests: NDArray[np.int64]
    files: Part | None = None
    test_images: int | None = None  # how many; nothing else of the test part is read


def read_training_data(options: Options, device: torch.device) -> TrainingData:
    """Reads the vocabulary and the training split; rank 0 first, since it builds caches.

    Raises UserError for files that are missing or damaged, and where the ranks' files differ.
    """
    with distributed.main_first():
        tokenizer = read_tokenizer(options)
        split = read_split(options, "train")
        options = split.options  # with the pixel range that was measured
        files = _files(split)
        training, validation = _at_both_sizes(split, files)
        digests = image_digests(options.dataset, split.annotations.images)
    if isinstance(tokenizer, Vocabulary):
        texts, place = split.annotations.captions, options.dataset.vocab_path
        warn_of_vocabulary(texts, tokenizer.words, tokenizer.tokenize, STOP_WORDS, place)
    distributed.check_alike(
        {
            "options": options.model_dump_json(exclude={"device"}),
            "words in its vocabulary": "\n".join(tokenizer.words),
            "training images and captions": split.annotations.digest,
            "content of the training images": digests.tobytes().hex(),
        },
        device,
    )
    of_test = image_count(options.dataset.data_path, "test")
    return TrainingData(
        options, tokenizer, training, validation, _folds(split), digests, files, of_test
    )


def _folds(split: Split) -> list[Fold]:
    k_fold, seed = split.options.k_fold, split.options.seed
    if k_fold.group_duplicates:
        with distributed.main_first():
            group = tied_images(split.options.dataset, split.annotations)
        return grouped_folds(group, k_fold, seed)
    images = len(split.annotations.images)
    return make_folds(images, k_fold.mode, k_fold.nums, k_fold.validation_share, seed)


def _files(split: Split) -> Part | None:
    backbone = split.options.model.backbone
    if not backbone.cache_features:
        return None
    if backbone.cache_views == 1:
        logger.info("model.backbone.cache_features: training images are not augmented")
    return Part(split.annotations, split.files(), split.local)


def _at_both_sizes(split: Split, files: Part | None) -> tuple[Part, Part]:
    """Both parts; the image files alone where all of training reads cached features."""
    dataset = split.options.dataset
    if files is not None and split.options.model.backbone.unfreeze_at == 0:
        return files, files
    return split.at(dataset.resize_size), split.at(dataset.image_size)
