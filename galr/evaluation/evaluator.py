"""The test split through the best checkpoint of each fold, or through a single checkpoint."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from galr.common import distributed
from galr.common.atomic import write_json
from galr.common.device import choose_device
from galr.common.errors import UserError
from galr.data.part import Part, read_split
from galr.data.vocabulary import read_tokenizer
from galr.encoders.tower_input import tower_input
from galr.evaluation.encode import Embeddings
from galr.evaluation.evaluate import evaluate_similarity
from galr.evaluation.reranking import fold_rerank
from galr.evaluation.results import FoldResult, results_of, results_table
from galr.evaluation.saved import save_features_of, save_similarity_of
from galr.evaluation.trained_fold import (
    TrainedFold,
    checkpoint_tokenizer,
    read_trained_fold,
    untrained_fold,
)
from galr.images.trained_on import trained_on
from galr.leakage.parts import shared
from galr.metrics.galleries import validation_facts
from galr.options import Options, yaml_value

logger = logging.getLogger(__name__)


class Evaluation(NamedTuple):
    """The evaluation of an experiment, or of one checkpoint, on the test split."""

    results: dict[str, Any]  # the content of results.json
    path: Path  # of results.json
    similarities: dict[int, Tensor]  # by fold: (I, C) on the CPU

    @property
    def table(self) -> str:
        """The table of the results, and where their file is."""
        return f"{results_table(self.results)}\n\nresults: {self.path}"


def evaluate_experiment(
    options: Options,
    out: str | Path | None = None,
    *,
    own_vocabulary: bool = False,
    save_similarity: str | Path | None = None,
    save_features: str | Path | None = None,
) -> Evaluation:
    """Evaluates the best checkpoint of every fold on the test split; writes results.json.

    ``out`` names another file for the results; ``own_vocabulary`` takes the words from the first
    checkpoint, not from ``dataset.vocab_path``; ``save_similarity`` names a folder for the
    similarities of the test part and of each fold's validation part, ``save_features`` one for the
    embeddings of these and of each fold's training part. Raises UserError for checkpoints or data
    that are missing, damaged or do not fit the options.
    """
    folder = options.experiment_folder
    checkpoints = [folder / str(fold) / "best.pth" for fold in range(options.k_fold.nums)]
    missing = [path for path in checkpoints if not path.exists()]
    if missing and distributed.is_main():  # the other ranks receive what rank 0 reads
        raise UserError(
            missing[0],
            f"there is no such checkpoint ({len(missing)} of {len(checkpoints)} folds have none)",
            "train them with train.py --resume, or evaluate fewer with --set k_fold.nums=...",
        )
    out = Path(out or folder / "results.json")
    return _evaluate(options, checkpoints, out, own_vocabulary, save_similarity, save_features)


def evaluate_checkpoint(
    options: Options,
    checkpoint: str | Path,
    out: str | Path | None = None,
    *,
    own_vocabulary: bool = False,
    save_similarity: str | Path | None = None,
) -> Evaluation:
    """Evaluates one checkpoint, of this project or of the released code; writes results.json.

    The file is beside the checkpoint unless ``out`` names another. Raises as
    ``evaluate_experiment``.
    """
    path = Path(checkpoint)
    out = Path(out or path.parent / "results.json")
    return _evaluate(options, [path], out, own_vocabulary, save_similarity)


def evaluate_zero_shot(
    options: Options, out: str | Path | None = None, *, save_similarity: str | Path | None = None
) -> Evaluation:
    """Evaluates the model of ``model.image_text`` as it is, untrained; writes results.json.

    Into the folder of the experiment unless ``out`` names another. Raises UserError where the
    options name no such model, or want a local branch, and as ``evaluate_experiment``.
    """
    if options.model.image_text.name is None or options.uses_local:
        raise UserError(
            "--resume",
            "is missing, and the options name no pretrained image-text model",
            "name a checkpoint, or set model.image_text and model.local=false",
        )
    out = Path(out or options.experiment_folder / "results.json")
    return _evaluate(options, [None], out, False, save_similarity)


def _evaluate(
    options: Options,
    checkpoints: Sequence[Path | None],
    out: Path,
    own_vocabulary: bool,
    save_similarity: str | Path | None,
    save_features: str | Path | None = None,
) -> Evaluation:
    device = choose_device(distributed.local_device(options.device))
    folds, similarities = [], {}
    with distributed.process_group(device):
        first = checkpoints[0]
        tokenizer = (
            checkpoint_tokenizer(first, options)
            if own_vocabulary and first is not None
            else read_tokenizer(options)
        )
        with distributed.main_first():
            split = read_split(options, "test")
            options = split.options  # with the pixel range that was measured
            test = split.at(options.dataset.image_size)
        distributed.check_alike(
            {
                "options": options.model_dump_json(exclude={"device"}),
                "words in its vocabulary": "\n".join(tokenizer.words),
                "test images and captions": test.annotations.digest,
            },
            device,
        )
        for index, path in enumerate(checkpoints):
            if path is None:
                fold = untrained_fold(options, tokenizer, device)
            else:
                fold = read_trained_fold(path, options, tokenizer, device, index)
                if fold.index != index and len(checkpoints) > 1:
                    raise UserError(
                        path,
                        f"holds fold {fold.index}, and lies where fold {index} should",
                        "put the checkpoint of each fold into its own folder",
                    )
            embeddings = fold.encode(test)
            result, similarities[index] = evaluate_fold(fold, test, embeddings)
            folds.append(result)
            if save_features is not None:
                save_features_of(fold, test, embeddings, Path(save_features))
            if save_similarity is not None:
                save_similarity_of(fold, test, similarities[index], Path(save_similarity))
        results = results_of(options, folds)
        _log_differences(results)
        if distributed.is_main():
            write_json(out, results)
    return Evaluation(results, out, similarities)


def evaluate_fold(
    fold: TrainedFold, test: Part, embeddings: Embeddings
) -> tuple[FoldResult, Tensor]:
    """The result of ``fold`` on ``test``, given its embeddings; and the similarities (I, C)."""
    started = time.perf_counter()
    similarity = embeddings.similarity()
    seconds = time.perf_counter() - started
    rerank = fold_rerank(fold, embeddings)
    result = FoldResult(
        fold.index,
        str(fold.checkpoint),
        _describe(test, fold),
        evaluate_similarity(similarity, test.annotations, fold.options.rerank, rerank),
        fold.training_options,
        _cost(fold, embeddings, seconds),
        tower_input(
            fold.model.text_encoder.sentence_encoder,
            fold.model.image_encoder.get_submodule("trunk"),
            fold.options,
            test.annotations.captions,
        ),
    )
    return result, similarity


def _describe(test: Part, fold: TrainedFold) -> dict[str, Any]:
    """The images of the test part, and those that the model was trained and selected on."""
    annotations, dataset = test.annotations, fold.options.dataset
    described: dict[str, Any] = {
        "test_captions": len(annotations.captions),
        "test_images_in_training": trained_on(
            fold.checkpoint, dataset, annotations.images, fold.images, fold.digests
        ),
    }
    for name, images in ({"test": annotations.images} | dict(fold.images)).items():
        described[f"{name}_images"] = len(images)
        described[f"{name}_sha256"] = hashlib.sha256("\n".join(images).encode()).hexdigest()
    described |= validation_facts(
        fold.validation, len(fold.images.get("validation", ())), len(annotations.images)
    )
    return described | shared(dataset, annotations, fold.images)


def _cost(fold: TrainedFold, embeddings: Embeddings, seconds: float) -> dict[str, float]:
    """Parameters, and milliseconds to encode an image and a caption and to compare a query."""
    images, captions = len(embeddings.images), len(embeddings.captions)
    return {
        "parameters": sum(weight.numel() for weight in fold.model.parameters()),
        "image_ms": 1e3 * embeddings.seconds[0] / images,
        "caption_ms": 1e3 * embeddings.seconds[1] / captions,
        "search_ms": 1e3 * seconds / captions,
    }


def _log_differences(results: dict[str, Any]) -> None:
    if results["options"] is None:
        logger.info("the checkpoint does not contain the options it was trained with")
    named = [
        f"{each['key']} {yaml_value(each['training'])} -> {yaml_value(each['test'])}"
        for each in results["differences"]
    ]
    if named:
        logger.warning("options that differ from those of the training: %s", "; ".join(named))
