"""The test part: the best checkpoint of each fold, or a single one, and its table."""

from __future__ import annotations

import hashlib
import io
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from galr.common import distributed
from galr.common.atomic import atomic_path
from galr.common.device import choose_device
from galr.common.errors import UserError
from galr.data.annotations import Annotations
from galr.data.part import Part, Split, read_split
from galr.data.vocabulary import read_tokenizer
from galr.evaluation.encode import Embeddings, encode_part, encode_similarity
from galr.evaluation.evaluate import evaluate_similarity
from galr.evaluation.fold_rerank import fold_rerank, images_of_training_part
from galr.evaluation.results import FoldResult, results_of, results_table, write_results
from galr.evaluation.save_features import save_features
from galr.model.build import model_of, read_checkpoint
from galr.model.retrieval_model import RetrievalModel
from galr.options import Options, options_from_dict, yaml_value

logger = logging.getLogger(__name__)


def evaluate_experiment(
    options: Options,
    out: str | None = None,
    save_similarity: str | None = None,
    seen: Callable[[int, Tensor], None] | None = None,
    features: str | None = None,
) -> str:
    """Evaluates the best checkpoint of every fold; returns the table, writes results.json.

    ``out`` names the file instead; ``save_similarity`` a folder for the similarity matrices of the
    test part and of each fold's validation part, ``features`` one for the embeddings of
    these and of each fold's training part. ``seen`` is called with each fold's number and its
    similarities (I, C) of the test part.
    """
    folder = options.experiment_folder
    checkpoints = [folder / str(fold) / "best.pth" for fold in range(options.k_fold.nums)]
    missing = [path for path in checkpoints if not path.exists()]
    if missing and distributed.is_main():  # the other ranks are sent what rank 0 reads
        raise UserError(
            missing[0],
            f"there is no such checkpoint ({len(missing)} of {len(checkpoints)} folds have none)",
            "train them by train.py --resume, or evaluate fewer by --set k_fold.nums=...",
        )
    place = Path(out or folder / "results.json")
    return _evaluate(options, checkpoints, place, save_similarity, seen, features)


def evaluate_checkpoint(
    options: Options, checkpoint: str, out: str | None = None, save_similarity: str | None = None
) -> str:
    """Evaluates one checkpoint, ours or of the released code; returns the table.

    Writes results.json beside the checkpoint, or to ``out``.
    """
    path = Path(checkpoint)
    return _evaluate(options, [path], Path(out or path.parent / "results.json"), save_similarity)


def _evaluate(
    options: Options,
    checkpoints: Sequence[Path],
    out: Path,
    save_similarity: str | None,
    seen: Callable[[int, Tensor], None] | None = None,
    features: str | None = None,
) -> str:
    device = choose_device(distributed.local_device(options.device))
    with distributed.process_group(device):
        with distributed.main_first():
            split = read_split(options, "test")
        options = split.options
        folds = _results(split, checkpoints, device, save_similarity, seen, features)
        results = results_of(options, folds)
        _name_differences(results)
        if distributed.is_main():
            write_results(out, results)
    return f"{results_table(results)}\n\nresults: {out}"


def _name_differences(results: dict[str, Any]) -> None:
    if results["options"] is None:
        logger.info("the checkpoint does not say with which options it was trained")
    named = [
        f"{each['key']} {yaml_value(each['training'])} -> {yaml_value(each['test'])}"
        for each in results["differences"]
    ]
    if named:
        logger.warning("options that differ from the training's: %s", "; ".join(named))


def _results(
    split: Split,
    checkpoints: Sequence[Path],
    device: torch.device,
    save_similarity: str | None,
    seen: Callable[[int, Tensor], None] | None,
    features: str | None,
) -> list[FoldResult]:
    options = split.options
    tokenizer = read_tokenizer(options)
    with distributed.main_first():
        test = split.at(options.dataset.image_size)
    distributed.check_alike(
        {
            "options": options.model_dump_json(exclude={"device"}),
            "words in its vocabulary": "\n".join(tokenizer.words),
            "test images and captions": test.annotations.digest,
        },
        device,
    )
    folds = []
    for number, path in enumerate(checkpoints):
        state = _checkpoint_of_main(path, device)
        model = model_of(state, path, options, device, words=tokenizer.words)
        fold = state.get("fold", {"index": number})
        embeddings = encode_part(model, test, tokenizer, options.dataset)
        started = time.perf_counter()
        similarity = embeddings.similarity()
        compared = time.perf_counter() - started
        if seen is not None:
            seen(number, similarity)
        rerank = fold_rerank(options, model, tokenizer, fold, path, embeddings)
        recalls = evaluate_similarity(similarity, test.annotations, options.rerank, rerank)
        trained = state.get("options")
        folds.append(
            FoldResult(
                fold["index"],
                str(path),
                _describe(test, fold),
                *recalls,
                trained=options_from_dict(trained, f"{path} (its options)") if trained else None,
                cost=_cost(model, embeddings, compared),
            )
        )
        if features is not None:
            place = Path(features)
            save_features(place / f"{fold['index']}_test", embeddings, test.annotations)
            for name in ("validation", "train"):
                if name in fold:
                    part = images_of_training_part(options, path, fold[name])
                    own = encode_part(model, part, tokenizer, options.dataset)
                    save_features(place / f"{fold['index']}_{name}", own, part.annotations)
        if save_similarity is not None:
            place = Path(save_similarity)
            _save(place, fold["index"], "test", similarity, test.annotations)
            if "validation" in fold:
                part = images_of_training_part(options, path, fold["validation"])
                similarity = encode_similarity(model, part, tokenizer, options.dataset)
                _save(place, fold["index"], "validation", similarity, part.annotations)
    return folds


def _cost(model: RetrievalModel, embeddings: Embeddings, compared: float) -> dict[str, float]:
    """Parameters, and milliseconds: to encode an image, a caption, and to compare a query."""
    images, captions = len(embeddings.images), len(embeddings.captions)
    return {
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "image_ms": 1e3 * embeddings.seconds[0] / images,
        "caption_ms": 1e3 * embeddings.seconds[1] / captions,
        "search_ms": 1e3 * compared / captions,
    }


def _checkpoint_of_main(path: Path, device: torch.device) -> dict[str, Any]:
    """The entries of a checkpoint that rank 0 reads and sends to the others."""
    if distributed.world_size() == 1:
        return read_checkpoint(path)

    def packed() -> bytes:
        content = io.BytesIO()
        torch.save(read_checkpoint(path), content)
        return content.getvalue()

    return read_checkpoint(path, distributed.on_main(packed, device))


def _describe(test: Part, fold: dict[str, Any]) -> dict[str, Any]:
    """Which images a result is of, and which the model was trained and selected on."""
    parts = {"test": test.annotations.images}
    parts |= {name: fold[name] for name in ("train", "validation") if name in fold}
    described: dict[str, Any] = {"test_captions": len(test.annotations.captions)}
    for name, images in parts.items():
        described[f"{name}_images"] = len(images)
        described[f"{name}_sha256"] = hashlib.sha256("\n".join(images).encode()).hexdigest()
    return described


def _save(folder: Path, fold: int, part: str, similarity: Tensor, annotations: Annotations) -> None:
    """Writes what python -m postprocessing.rerank reads."""
    if not distributed.is_main():
        return
    arrays = {"similarity": similarity.numpy(), "caption_to_image": annotations.caption_to_image}
    for name, array in arrays.items():
        with (
            atomic_path(folder / f"{fold}_{part}_{name}.npy") as temporary,
            temporary.open("wb") as file,
        ):
            np.save(file, array, allow_pickle=False)
