"""A trained fold: its network, and the images that it was trained and validated on."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from galr.common import distributed
from galr.common.errors import UserError
from galr.data.part import Part, read_split
from galr.data.vocabulary import RawText, Tokenizer, Vocabulary, read_tokenizer, tokenizer_of
from galr.evaluation.encode import Embeddings, encode_part
from galr.images.trained_on import Digests, known_digests
from galr.model.build import CHECKPOINT_REMEDY, build_model, model_of, read_checkpoint
from galr.model.retrieval_model import RetrievalModel
from galr.options import Options, stored_options


@dataclass(frozen=True)
class TrainedFold:
    """The network in ``checkpoint``, to be evaluated with ``options``.

    ``training_options``, ``images``, the names of the images by part (``train``, ``validation``),
    ``validation``, the row of the log of its epoch, and ``digests`` (I,) of the images' content are
    None and empty where the checkpoint has none.
    """

    index: int
    checkpoint: Path
    model: RetrievalModel
    tokenizer: Tokenizer
    options: Options
    training_options: Options | None
    images: Mapping[str, Sequence[str]]
    validation: Mapping[str, float] = field(default_factory=dict)
    digests: Digests = field(default_factory=dict)

    def encode(self, part: Part) -> Embeddings:
        """The embeddings of the images and captions of ``part``."""
        return encode_part(self.model, part, self.tokenizer, self.options.dataset)

    def part(self, name: str) -> Part:
        """The fold's ``train`` or ``validation`` part.

        Raises UserError where the checkpoint does not name its images, or names others than those
        of the training split.
        """
        if name not in self.images:
            raise UserError(
                self.checkpoint,
                f"does not name the images of its {name} part",
                "set rerank.bank and rerank.tune to null, or evaluate a checkpoint of train.py",
            )
        split = read_split(self.options, "train")
        index = {image: number for number, image in enumerate(split.annotations.images)}
        unknown = [image for image in self.images[name] if image not in index]
        if unknown:
            raise UserError(
                self.checkpoint,
                f"its image {unknown[0]} is not in {self.options.dataset.data_path}",
                "set dataset.data_path to the data that it was trained on",
            )
        indices = np.array([index[image] for image in self.images[name]], dtype=np.int64)
        return split.at(self.options.dataset.image_size).select(indices)


def read_trained_fold(
    path: Path, options: Options, tokenizer: Tokenizer, device: torch.device, index: int
) -> TrainedFold:
    """The fold in a checkpoint, which rank 0 reads; ``index`` is used where it holds none.

    Raises UserError for a checkpoint that is missing or damaged or does not fit ``options``.
    """
    entries = _from_main(path, device)
    model = model_of(entries, path, options, device, words=tokenizer.words)
    fold, trained = entries.get("fold", {}), entries.get("options")
    images = {name: fold[name] for name in ("train", "validation") if name in fold}
    return TrainedFold(
        fold.get("index", index),
        path,
        model,
        tokenizer,
        options,
        stored_options(trained, path) if trained else None,
        images,
        next(iter(entries.get("progress", {}).get("history", [])[-1:]), {}),
        known_digests(entries.get("image_digests"), images),
    )


def untrained_fold(options: Options, tokenizer: Tokenizer, device: torch.device) -> TrainedFold:
    """The model of ``model.image_text`` with the weights that it starts from, as a fold.

    Raises UserError where these cannot be had.
    """
    image_text = options.model.image_text
    model = build_model(options, tokenizer.words).to(device).eval()
    name = Path(f"{image_text.name} ({image_text.weights})")
    return TrainedFold(0, name, model, tokenizer, options, None, {})


def checkpoint_options(path: str | Path, overrides: Sequence[str] = ()) -> Options:
    """The options that the checkpoint at ``path`` was trained with, changed by ``overrides``.

    Raises UserError for a checkpoint that is missing, damaged, or contains no options.
    """
    return stored_options(checkpoint_tree(path), path, overrides)


def checkpoint_tree(path: str | Path) -> dict[str, Any]:
    """The options in a checkpoint, unchecked; raises UserError as ``checkpoint_options`` does."""
    stored = read_checkpoint(path).get("options")
    if not isinstance(stored, dict) or not stored:
        what = "does not contain the options it was trained with"
        raise UserError(path, what, "name their file with --path_opt")
    return stored


def experiment_options(folder: str | Path, overrides: Sequence[str] = ()) -> Options:
    """The options of the experiment in ``folder``, which may have been moved since training.

    Raises UserError where the folder holds no trained fold, and as ``checkpoint_options`` does.
    """
    folder = Path(folder)
    checkpoints = sorted(folder.glob("[0-9]*/best.pth"))
    if not checkpoints:
        remedy = "name the folder of an experiment, such as checkpoint/rsitmd_GaLR"
        raise UserError(folder, "holds no trained fold (N/best.pth)", remedy)
    place = folder.resolve()
    here = (
        f"logs.ckpt_save_path={json.dumps(str(place.parent))}",
        (f"k_fold.experiment_name={json.dumps(place.name)}"),
    )
    return checkpoint_options(checkpoints[0], [*here, *overrides])


def checkpoint_tokenizer(path: str | Path, options: Options) -> Tokenizer:
    """The vocabulary in the checkpoint at ``path``, or the one ``options`` name if it has none."""
    words = read_checkpoint(path).get("vocabulary")
    return stored_tokenizer(words, options, path) if words else read_tokenizer(options)


def stored_tokenizer(words: Sequence[object], options: Options, path: str | Path) -> Tokenizer:
    """The tokenizer of ``options`` over the ``words`` that the checkpoint at ``path`` holds.

    Raises UserError where they are no vocabulary.
    """
    if options.model.text_parts.words is None:
        return RawText()
    try:
        known = Vocabulary([str(word) for word in words], options.dataset.tokenizer)
    except ValueError as error:
        raise UserError(path, f"holds no vocabulary: {error}", CHECKPOINT_REMEDY) from None
    return tokenizer_of(options, known)


def _from_main(path: Path, device: torch.device) -> dict[str, Any]:
    """The entries of a checkpoint that rank 0 reads and sends to the others."""
    if distributed.world_size() == 1:
        return read_checkpoint(path)

    def packed() -> bytes:
        content = io.BytesIO()
        torch.save(read_checkpoint(path), content)
        return content.getvalue()

    return read_checkpoint(path, distributed.on_main(packed, device))
