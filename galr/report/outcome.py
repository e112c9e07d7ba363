"""The test part through the best model of each fold: similarities and the rank of every query."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from galr.common.device import choose_device
from galr.common.errors import UserError
from galr.data.part import Part, read_split
from galr.evaluation.reranking import FoldRerank, fold_rerank, rerank_both
from galr.evaluation.trained_fold import checkpoint_tokenizer, read_trained_fold
from galr.images.scaling import Scaling
from galr.metrics.retrieval import Ranks, reranked_ranks, retrieval_ranks
from galr.model.gcn import NoLocalBranch
from galr.model.retrieval_model import RetrievalModel
from galr.options import RerankOptions
from galr.report.experiment import Experiment
from postprocessing.rerank import Reranked

logger = logging.getLogger(__name__)

DIRECTIONS = {"i2t": "image to text", "t2i": "text to image"}
VARIANTS = {"without_rerank": "without rerank", "with_rerank": "with rerank"}

RanksByVariant = dict[str, Ranks]  # no entry with_rerank where rerank is off


class FoldRanks(NamedTuple):
    """The ranks of a fold; duplicate-aware: any image with the query's text is correct."""

    fold: int
    standard: RanksByVariant
    duplicate_aware: RanksByVariant


@dataclass(frozen=True)
class Shown:
    """The one fold whose queries are looked at."""

    fold: int
    model: RetrievalModel
    similarity: Tensor  # (I, C)
    reranked: tuple[Reranked, Reranked] | None  # image to text, text to image
    ranks: RanksByVariant


@dataclass(frozen=True)
class Outcome:
    """What the report shows of the test part."""

    test: Part
    scaling: Scaling  # of images with more than 8 bits
    folds: list[FoldRanks]
    shown: Shown

    @property
    def has_local(self) -> bool:
        """Whether the model has a local branch."""
        return not isinstance(self.shown.model.local_encoder, NoLocalBranch)

    @property
    def variants(self) -> list[str]:
        """``without_rerank``, and ``with_rerank`` where it is on."""
        return list(self.folds[0].standard)


def evaluate_folds(
    experiment: Experiment,
    fold: int | None = None,
    similarities: Mapping[int, Tensor] | None = None,
) -> Outcome:
    """Encodes the test part with each fold's best model; ``fold`` is shown, or the best one.

    ``similarities`` (I, C) by fold are taken as they are, where they are known already. Raises
    UserError where there is no such fold, and for data or checkpoints that do not fit.
    """
    options = experiment.options
    wanted = experiment.best_fold if fold is None else fold
    indices = [run.index for run in experiment.folds]
    if wanted not in indices:
        raise UserError("--fold", f"there is no fold {wanted}", f"choose of {indices}")
    vocabulary = checkpoint_tokenizer(experiment.folds[0].checkpoint, options)
    split = read_split(options, "test")
    test = split.at(options.dataset.image_size)
    device = choose_device(options.device)
    folds, shown = [], []
    for run in experiment.folds:
        similarity = (similarities or {}).get(run.index)
        with_model = options.rerank.enabled and (options.rerank.bank or options.rerank.tune)
        if similarity is None or run.index == wanted or with_model:
            trained = read_trained_fold(run.checkpoint, options, vocabulary, device, run.index)
        rerank = None
        if similarity is None or with_model:
            logger.info("encoding the test part by %s", run.checkpoint)
            embeddings = trained.encode(test)
            similarity = embeddings.similarity()
            rerank = fold_rerank(trained, embeddings) if options.rerank.enabled else None
        ranks, reranked = _ranks(run.index, similarity, test, options.rerank, rerank)
        folds.append(ranks)
        if run.index == wanted:
            shown = [Shown(wanted, trained.model, similarity, reranked, ranks.standard)]
    return Outcome(test, Scaling.of(split.options.dataset), folds, shown[0])


def _ranks(
    fold: int,
    similarity: Tensor,
    test: Part,
    options: RerankOptions,
    rerank: FoldRerank | None,
) -> tuple[FoldRanks, tuple[Reranked, Reranked] | None]:
    own_image = test.annotations.caption_to_image
    reranked = rerank_both(similarity, options, rerank) if options.enabled else None
    kinds = []
    for group in (None, test.annotations.caption_group):
        ranks = {"without_rerank": retrieval_ranks(similarity, own_image, group)}
        if reranked is not None:
            ranks["with_rerank"] = reranked_ranks(
                ranks["without_rerank"], *reranked, own_image, caption_group=group
            )
        kinds.append(ranks)
    return FoldRanks(fold, *kinds), reranked
