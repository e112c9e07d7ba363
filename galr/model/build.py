"""From options, or from a checkpoint, to the network."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch

from galr.errors import UserError
from galr.model.assemble import assemble
from galr.model.backbone import start_backbone
from galr.model.galr import GaLR
from galr.model.pretrained_sentences import KIND as PRETRAINED
from galr.model.pretrained_sentences import PretrainedSentences
from galr.model.released import from_released, is_released, released_options
from galr.model.resnet import ResNet18
from galr.model.skipthoughts import SentenceEncoder, build_skipthoughts
from galr.model.weights import State, named_tensors, put_weights, read_torch_file
from galr.options import Options, options_from_dict

_REMEDY = "name a checkpoint of train.py (best.pth) or of the released code"

_OTHER_OPTIONS = "give the options that it was trained with (options.yaml beside it)"

_EMBEDDING = "text_encoder.sentence_encoder.embedding.weight"
_PROJECTION = "text_encoder.projection.weight"
_PRETRAINED = "text_encoder.sentence_encoder.model."


def build_model(options: Options, words: Sequence[str]) -> GaLR:
    """A network to train, for the vocabulary ``words``, whose ids are 1 to len(words).

    The ResNet starts from ``model.backbone.weights``, the text encoder from the skip-thought files
    where ``model.seq2vec.pretrained`` says so, the rest from torch's global generator. The local
    branch is built where there are local features. Raises UserError for files that are missing.
    """
    text = options.model.seq2vec
    if text.pretrained and text.dir_st is None:
        raise UserError(
            "model.seq2vec.dir_st",
            "is null, yet model.seq2vec.pretrained is true",
            "name the folder of the skip-thought files, or set model.seq2vec.pretrained=false",
        )
    trunk = ResNet18()
    start_backbone(trunk, options.model.backbone.weights)
    sentence_encoder = build_skipthoughts(
        text.type,
        text.dir_st if text.pretrained else None,
        words,
        text.dropout,
        text.fixed_emb,
        text.word_dim,
        text.hidden_dim,
    )
    return assemble(options, trunk, sentence_encoder, local=options.uses_local)


def load_model(
    path: str | Path,
    options: Options | None = None,
    device: str | torch.device = "cpu",
    words: Sequence[str] | None = None,
) -> GaLR:
    """The network in a checkpoint of ours or of the released code, in evaluation mode.

    ``options`` of None are those in the checkpoint, for a released one those that its shapes tell.
    The local branch is there when the checkpoint has one. ``words`` is the vocabulary that captions
    will be encoded with, checked against the checkpoint's. Nothing is downloaded or drawn at
    random. Raises UserError for a file that is missing, damaged, unsafe, not finite or of another
    architecture than ``options``.
    """
    checkpoint = read_checkpoint(path)
    state, trained_with = _state_and_options(checkpoint, options, path)
    options = options or trained_with
    local = any(name.startswith("local_encoder.") for name in state)
    _check_kinds(options, trained_with, local, path)
    stored = checkpoint.get("vocabulary")
    if words is not None:
        rows = len(state[_EMBEDDING]) if _EMBEDDING in state else len(stored or ()) + 1
        _check_vocabulary(list(words), stored, rows, path)
    sentence_encoder = _sentence_encoder_for(options, state, stored)
    # on the meta device nothing is drawn, so the generators of a run stay as they are
    with torch.device("meta"):
        model = assemble(options, ResNet18(), sentence_encoder, local)
    put_weights(model, state, path, _OTHER_OPTIONS)
    return model.to(device).eval()


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """The entries of a checkpoint on the CPU; ``model`` is a dict of tensors by name.

    Raises UserError for a file that is missing, damaged, unsafe, or no checkpoint.
    """
    checkpoint = read_torch_file(path, _REMEDY)
    if not isinstance(checkpoint, dict) or "model" not in checkpoint:
        raise UserError(path, "is no checkpoint: it has no entry model", _REMEDY)
    return {**checkpoint, "model": named_tensors(checkpoint["model"], path, _REMEDY)}


def _state_and_options(
    checkpoint: dict[str, Any], options: Options | None, place: str | Path
) -> tuple[State, Options]:
    """The tensors under our names, and the options that they were trained with.

    Where the checkpoint does not tell these, they are taken to be ``options``.
    """
    state: State = checkpoint["model"]
    released = is_released(state)
    if released:
        state = from_released(state, place)
    pretrained = any(name.startswith(_PRETRAINED) for name in state)
    for name in (_PROJECTION,) if pretrained else (_EMBEDDING, _PROJECTION):
        if name not in state or state[name].dim() != 2:
            raise UserError(place, f"holds no model of GaLR: it has no matrix {name}", _REMEDY)
    if released:
        return state, released_options(state, place)
    stored = checkpoint.get("options")
    if isinstance(stored, dict):
        return state, options_from_dict(stored, f"{place} (its options)")
    if options is None:
        raise UserError(place, "does not say with which options it was trained", _OTHER_OPTIONS)
    return state, options


def _sentence_encoder_for(
    options: Options, state: State, stored: object
) -> SentenceEncoder | PretrainedSentences:
    """One for as many words as ``state`` has, pretrained or not without any file.

    A model of sentence-transformers is built from its folder, for the ``stored`` words.
    """
    text = options.model.seq2vec
    if text.type == PRETRAINED:
        directory = text.dir_st if text.pretrained else None
        vocabulary = stored if isinstance(stored, list) else []
        return build_skipthoughts(text.type, directory, vocabulary, fixed_embedding=text.fixed_emb)
    word_dim, hidden_dim = text.word_dim, text.hidden_dim
    if text.pretrained:  # the sizes were those of the files, not of the options
        word_dim, hidden_dim = state[_EMBEDDING].shape[1], state[_PROJECTION].shape[1]
    words = [""] * (len(state[_EMBEDDING]) - 1)
    with torch.device("meta"):
        return build_skipthoughts(
            text.type, None, words, text.dropout, text.fixed_emb, word_dim, hidden_dim
        )


def _check_kinds(options: Options, trained_with: Options, local: bool, place: str | Path) -> None:
    """Compares what the shapes of tensors do not show."""
    if local and not options.model.local:
        raise UserError(place, "has a local branch, and model.local is false", _OTHER_OPTIONS)
    if options.uses_local and not local:
        raise UserError(
            place,
            "has no local branch, and dataset.local_path names local features",
            "set dataset.local_path=null or model.local=false",
        )
    keys = ["seq2vec.type"]
    keys += ["fusion.type"] if local else []
    keys += ["fusion.gate"] if local and trained_with.model.fusion.type == "midf" else []
    for key in keys:
        section, _, name = key.partition(".")
        before = getattr(getattr(trained_with.model, section), name)
        now = getattr(getattr(options.model, section), name)
        if before != now:
            raise UserError(
                place,
                f"was trained with model.{key}: {before}, and the options say {now}",
                f"set model.{key}={before}, or take another checkpoint",
            )


def _check_vocabulary(words: list[str], stored: object, rows: int, place: str | Path) -> None:
    """Compares ``words`` with the rows of word vectors, padding's too, and the ``stored`` words."""
    remedy = "name the vocabulary that it was trained with by dataset.vocab_path"
    if rows != len(words) + 1:
        what = f"was trained with {rows - 1} words, and the vocabulary has {len(words)}"
        raise UserError(place, what, remedy)
    if isinstance(stored, list) and stored != words:
        pairs = enumerate(zip_longest(stored, words), start=1)
        number, (before, now) = next((i, pair) for i, pair in pairs if pair[0] != pair[1])
        what = f"was trained with {before!r} as word {number}, and the vocabulary has {now!r}"
        raise UserError(place, what, remedy)
