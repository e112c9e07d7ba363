"""Builds the network from options or from a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from galr.common.errors import UserError
from galr.encoders.open_clip_towers import ClipSentences
from galr.encoders.read_open_clip import read_towers
from galr.encoders.trunk import Trunk
from galr.model.assemble import assemble
from galr.model.backbone import build_backbone, empty_backbone
from galr.model.retrieval_model import RetrievalModel
from galr.model.text_encoders import (
    SENTENCE_ENCODER,
    Sentences,
    build_sentence_encoder,
    sentence_encoder_for,
    without_frozen,
)
from galr.options import Options, stored_options
from galr.weights.agreement import OTHER_OPTIONS, check_options, check_vocabulary
from galr.weights.exported import is_exported, read_exported
from galr.weights.files import State, named_tensors, put_weights, read_torch_file
from galr.weights.released import from_released, is_released, released_options

CHECKPOINT_REMEDY = "name a checkpoint of train.py (best.pth) or of the released code"

_EMBEDDINGS = (
    f"{SENTENCE_ENCODER}embedding.weight",
    f"{SENTENCE_ENCODER}words.embedding.weight",
)
_PROJECTION = "text_encoder.projection.weight"
_PRETRAINED = (f"{SENTENCE_ENCODER}model.", f"{SENTENCE_ENCODER}fingerprint")
_TOWER = f"{SENTENCE_ENCODER}tower."


def build_model(options: Options, words: Sequence[str]) -> RetrievalModel:
    """A network to train, for the vocabulary ``words``, whose ids are 1 to len(words).

    The backbone is initialised from ``model.backbone.weights``, the text encoder from the
    skip-thought files if ``model.seq2vec.pretrained`` is set, the rest by torch's global generator.
    The local branch is built if there are local features. Raises UserError for missing files.
    """
    if options.model.image_text.name is not None:
        return assemble(options, *read_towers(options), local=options.uses_local)
    trunk = build_backbone(options.model.backbone, options.dataset.image_size)
    sentence_encoder = build_sentence_encoder(options, words)
    return assemble(options, trunk, sentence_encoder, local=options.uses_local)


def load_model(
    path: str | Path,
    options: Options | None = None,
    device: str | torch.device = "cpu",
    words: Sequence[str] | None = None,
) -> RetrievalModel:
    """The network in a checkpoint of ours or of the released code, in evaluation mode.

    ``options``: default, those in the checkpoint or, for a released one, inferred from its shapes.
    The local branch is built if the checkpoint has one. ``words``: the vocabulary that captions
    will be encoded with, checked against the checkpoint's. Nothing is downloaded or initialised at
    random. Raises UserError for a file that is missing, damaged, unsafe, not finite or of another
    architecture than ``options``.
    """
    return model_of(read_checkpoint(path), path, options, device, words)


def model_of(
    checkpoint: dict[str, Any],
    path: str | Path,
    options: Options | None = None,
    device: str | torch.device = "cpu",
    words: Sequence[str] | None = None,
) -> RetrievalModel:
    """``load_model`` from the entries of ``read_checkpoint(path)``."""
    state, trained_with = _state_and_options(checkpoint, options, path)
    options = options or trained_with
    local = any(name.startswith("local_encoder.") for name in state)
    stored = checkpoint.get("vocabulary")
    check_options(options, trained_with, local, path, released=is_released(checkpoint["model"]))
    parts = options.model.text_parts
    if parts.words is None:
        if stored and parts.of_seq2vec:
            raise UserError(
                path,
                "was trained by an earlier version, which gave the sentence-transformers model "
                "captions without stop words and rare words",
                "train it again: the model now reads captions unchanged",
            )
    elif words is not None:
        check_vocabulary(list(words), stored, len(_table(state, path)), path)
    # leaves a run's generators untouched
    with torch.random.fork_rng(devices=[]):
        encoders = _empty_encoders(options, state, words or stored)
    with torch.device("meta"):
        model = assemble(options, *encoders, local=local)
    put_weights(model, without_frozen(state, encoders[1]), path, OTHER_OPTIONS)
    return model.to(device).eval()


def read_checkpoint(path: str | Path, content: bytes | None = None) -> dict[str, Any]:
    """The entries of a checkpoint on the CPU; ``model`` is a dict of tensors by name.

    ``path`` may be a folder of ``galr.export``. ``content``: that of the file, if already read.
    Raises UserError for a file that is missing, damaged, unsafe, or no checkpoint.
    """
    if content is None and is_exported(path):
        checkpoint = read_exported(path)
    else:
        checkpoint = read_torch_file(path, CHECKPOINT_REMEDY, content)
    if not isinstance(checkpoint, dict) or "model" not in checkpoint:
        raise UserError(path, "is not a checkpoint (missing key 'model')", CHECKPOINT_REMEDY)
    return {**checkpoint, "model": named_tensors(checkpoint["model"], path, CHECKPOINT_REMEDY)}


def _state_and_options(
    checkpoint: dict[str, Any], options: Options | None, place: str | Path
) -> tuple[State, Options]:
    """The tensors under our names, and the options they were trained with.

    These are ``options`` if the checkpoint does not contain any.
    """
    state: State = checkpoint["model"]
    released = is_released(state)
    if released:
        state = from_released(state, place)
    if not any(name.startswith(_TOWER) for name in state):
        _matrix(state, _PROJECTION, place)
        if not any(name.startswith(_PRETRAINED) for name in state):
            _table(state, place)
    if released:
        return state, released_options(state, place)
    stored = checkpoint.get("options")
    if isinstance(stored, dict):
        return state, stored_options(stored, place)
    if options is None:
        raise UserError(place, "does not contain the options it was trained with", OTHER_OPTIONS)
    return state, options


def _empty_encoders(
    options: Options, state: State, words: Sequence[str] | None
) -> tuple[Trunk, Sentences | ClipSentences]:
    if options.model.image_text.name is not None:
        return read_towers(options, with_weights=False)
    trunk = empty_backbone(options.model.backbone, options.dataset.image_size)
    return trunk, sentence_encoder_for(options, state, words)


def _table(state: State, place: str | Path) -> Tensor:
    """The word vectors in ``state``."""
    name = next((name for name in _EMBEDDINGS if name in state), _EMBEDDINGS[0])
    return _matrix(state, name, place)


def _matrix(state: State, name: str, place: str | Path) -> Tensor:
    if name not in state or state[name].dim() != 2:
        raise UserError(
            place, f"holds no retrieval model: it has no matrix {name}", CHECKPOINT_REMEDY
        )
    return state[name]
