"""How a fold is re-ranked: methods with their parameters, a bank of other queries, and tuning."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from galr.data.part import read_split
from galr.evaluation.encode import Embeddings
from galr.evaluation.trained_fold import TrainedFold
from galr.metrics.similarities import FeatureProduct
from galr.model.comparison import Cosine, alike
from galr.options import RerankOptions
from postprocessing.banks import Bank
from postprocessing.methods import MethodSettings, reads
from postprocessing.rerank import Reranked
from postprocessing.task import NO_BANKS, Banks, RetrievalTask
from postprocessing.tuning import tune

logger = logging.getLogger(__name__)


class FoldRerank(NamedTuple):
    """What re-ranks a fold: the settings of each method, and banks."""

    settings: Mapping[str, MethodSettings]
    banks: Banks = NO_BANKS

    @classmethod
    def of(cls, options: RerankOptions) -> FoldRerank:
        """Every method that the options name, with their parameters and without a bank."""
        names = [options.method, *options.compare] if options.enabled else options.compare
        return cls({name: method_settings(options, name) for name in names})

    def describe(self, method: str) -> dict[str, Any]:
        """A method, its parameters, and what it uses besides a query's own similarities."""
        return {
            "method": method,
            "reads": reads(method, self.banks.some),
            "parameters": self.settings[method].parameters(),
        }


def method_settings(options: RerankOptions, method: str | None = None) -> MethodSettings:
    """The settings of the options' method, or of another one, with the options' parameters."""
    values = options.model_dump()
    own = {field.name: values[field.name] for field in fields(MethodSettings)}
    return MethodSettings(**{**own, "method": method or options.method})


def fold_rerank(fold: TrainedFold, test: Embeddings) -> FoldRerank:
    """What re-ranks ``fold``, with the bank and the tuning that its options name.

    ``test``: the embeddings of the test part, which a bank is compared with. Raises UserError where
    the checkpoint does not name the images that the options need.
    """
    rerank = FoldRerank.of(fold.options.rerank)
    if not rerank.settings:
        return rerank
    bank = _bank(fold)
    rerank = rerank._replace(banks=_banks(bank, test))
    if fold.options.rerank.tune is None:
        return rerank
    part = fold.part("validation")
    validation, own_image = fold.encode(part), part.annotations.caption_to_image
    task = RetrievalTask.of(validation.similarity(), own_image, _banks(bank, validation))
    tuned = {}
    for method, settings in rerank.settings.items():
        found = tune(settings, task)
        tuned[method] = found.settings
        logger.info(
            "%s, validation mR %.2f: %s", method, found.mean_recall, found.settings.parameters()
        )
    return rerank._replace(settings=tuned)


def rerank_both(
    similarity: Tensor, options: RerankOptions, rerank: FoldRerank | None = None
) -> tuple[Reranked, Reranked]:
    """Image to text and text to image: the candidates that the options' method re-ranks.

    similarity (I, C); ``rerank`` is that of the options alone by default.
    """
    rerank = rerank or FoldRerank.of(options)
    settings = rerank.settings[options.method]
    # the order does not depend on which captions are right
    task = RetrievalTask.of(similarity, np.empty(0, dtype=np.int64), rerank.banks)
    return task.reranked(task.orders(settings), settings)


def _bank(fold: TrainedFold) -> Embeddings | None:
    """The embeddings of ``rerank.bank``: the fold's training part, or another data folder."""
    options = fold.options
    if options.rerank.bank is None:
        return None
    if options.rerank.bank == "train":
        return fold.encode(fold.part("train"))
    changes = {"data_path": options.rerank.bank, "image_path": None}
    dataset = options.dataset.model_copy(update=changes)
    elsewhere = options.model_copy(update={"dataset": dataset})
    return fold.encode(read_split(elsewhere, "train").at(dataset.image_size))


def _banks(bank: Embeddings | None, part: Embeddings) -> Banks:
    """The bank's images and captions compared with those of ``part``, in both directions."""
    if bank is None:
        return NO_BANKS
    bank_images, bank_captions, images, captions = (
        own.cpu() for own in (bank.images, bank.captions, part.images, part.captions)
    )
    if isinstance(part.comparison, Cosine):
        across = within = None  # a product
    else:
        across, within = copy.deepcopy(part.comparison).cpu(), alike
    image_queries = FeatureProduct(images, bank_captions, across).T
    return Banks(
        Bank(FeatureProduct(bank_images, captions, across),
             FeatureProduct(bank_captions, captions, within)),
        Bank(image_queries, FeatureProduct(bank_images, images, within)),
    )  # fmt: skip
