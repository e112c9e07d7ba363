"""From options, or from a checkpoint, to the network."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from galr.common.errors import UserError
from galr.model.assemble import assemble
from galr.model.backbone import build_backbone, empty_backbone
from galr.model.exported import is_exported, read_exported
from galr.model.open_clip_towers import ClipSentences, read_towers
from galr.model.released import from_released, is_released, released_options
from galr.model.retrieval_model import RetrievalModel
from galr.model.text_encoders import (
    SENTENCE_ENCODER,
    Sentences,
    build_sentence_encoder,
    sentence_encoder_for,
    without_frozen,
)
from galr.model.trunk import Trunk
from galr.model.weights import State, named_tensors, put_weights, read_torch_file
from galr.options import Options, flatten_options, options_from_dict, yaml_value

CHECKPOINT_REMEDY = "name a checkpoint of train.py (best.pth) or of the released code"

_OTHER_OPTIONS = "give the options that it was trained with (options.yaml beside it)"

_EMBEDDINGS = (
    f"{SENTENCE_ENCODER}embedding.weight",
    f"{SENTENCE_ENCODER}words.embedding.weight",
)
_PROJECTION = "text_encoder.projection.weight"
_PRETRAINED = (f"{SENTENCE_ENCODER}model.", f"{SENTENCE_ENCODER}fingerprint")
_TOWER = f"{SENTENCE_ENCODER}tower."

_KNOWN_OF_RELEASED = {
    "model.name",
    "model.cross_attention.att_type",
    "model.seq2vec.type",
    "model.fusion.type",
    "model.fusion.gate",
}


def build_model(options: Options, words: Sequence[str]) -> RetrievalModel:
    """A network to train, for the vocabulary ``words``, whose ids are 1 to len(words).

    The backbone starts from ``model.backbone.weights``, the text encoder from the skip-thought
    files where ``model.seq2vec.pretrained`` says so, the rest from torch's global generator.
    The local branch is built where there are local features. Raises UserError for files that are
    missing.
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

    ``options`` of None are those in the checkpoint, for a released one those that its shapes tell.
    The local branch is there when the checkpoint has one. ``words`` is the vocabulary that captions
    will be encoded with, checked against the checkpoint's. Nothing is downloaded or drawn at
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
    """``load_model`` of the entries that ``read_checkpoint`` found in the file at ``path``."""
    state, trained_with = _state_and_options(checkpoint, options, path)
    options = options or trained_with
    local = any(name.startswith("local_encoder.") for name in state)
    stored = checkpoint.get("vocabulary")
    _check_options(options, trained_with, local, path, released=is_released(checkpoint["model"]))
    parts = options.model.text_parts
    if parts.words is None:
        if stored and parts.of_seq2vec:
            raise UserError(
                path,
                "was trained by an earlier version, which gave the sentence-transformers model "
                "captions without stop words and rare words",
                "train it anew: the model now reads captions as they are",
            )
    elif words is not None:
        _check_vocabulary(list(words), stored, len(_table(state, path)), path)
    # the generators of a run stay as they are
    with torch.random.fork_rng(devices=[]):
        encoders = _empty_encoders(options, state, words or stored)
    with torch.device("meta"):
        model = assemble(options, *encoders, local=local)
    put_weights(model, without_frozen(state, encoders[1]), path, _OTHER_OPTIONS)
    return model.to(device).eval()


def read_checkpoint(path: str | Path, content: bytes | None = None) -> dict[str, Any]:
    """The entries of a checkpoint on the CPU; ``model`` is a dict of tensors by name.

    ``path`` may be a folder of ``galr.export``. ``content`` is that of the file where it was read
    already. Raises UserError for a file that is missing, damaged, unsafe, or no checkpoint.
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
    """The tensors under our names, and the options that they were trained with.

    Where the checkpoint does not tell these, they are taken to be ``options``.
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
        return state, options_from_dict(stored, f"{place} (its options)")
    if options is None:
        raise UserError(place, "does not say with which options it was trained", _OTHER_OPTIONS)
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


# keys of `model` that change neither the network nor its input in evaluation
_TRAINING_ONLY = (
    "model.backbone.train",
    "model.backbone.batch_norm",
    "model.backbone.unfreeze_at",
    "model.backbone.cache_maps",
    "model.backbone.cache_views",
    "model.backbone.weights",
    "model.image_text.weights",
    "model.text.train",  # of the tensors, whose names are compared
    "model.seq2vec.pretrained",
    "model.seq2vec.dir_st",
    "model.seq2vec.dropout",
    "model.seq2vec.fixed_emb",
    "model.seq2vec.word_dict",
    "model.seq2vec.word_dim",  # of the tensors, whose shapes are compared
    "model.seq2vec.hidden_dim",
    "model.fusion.mca_DROPOUT_R",
    "model.fusion.dynamic_fusion_drop",
    "model.local",  # compared with the tensors
)

_LOCAL_BRANCH = ("model.fusion.", "dataset.drea.")


def evaluation_options(options: Options, *, local: bool) -> dict[str, Any]:
    """Every option that decides what the network is and what it sees in evaluation, by its key.

    ``local``: whether the model has a local branch, without which its options play no part.
    """
    tree = options.model_dump(mode="json")
    flat = flatten_options({"model": tree["model"], "dataset": {"drea": tree["dataset"]["drea"]}})
    flat["dataset.image_size"] = options.dataset.image_size
    if options.model.text_parts.words is not None:
        flat["dataset.max_words"] = options.dataset.max_words
    return {
        key: value
        for key, value in flat.items()
        if not key.startswith(_TRAINING_ONLY)
        and (local or not key.startswith(_LOCAL_BRANCH))
        and (options.model.name == "AMFMN" or not key.startswith("model.cross_attention."))
    }


def _check_options(
    options: Options, trained_with: Options, local: bool, place: str | Path, *, released: bool
) -> None:
    """Compares with the training what the network is and what it is to see."""
    if local and not options.model.local:
        raise UserError(place, "has a local branch, and model.local is false", _OTHER_OPTIONS)
    if options.uses_local and not local:
        raise UserError(
            place,
            "has no local branch, and dataset.local_path names local features",
            "set dataset.local_path=null or model.local=false",
        )
    before, now = (evaluation_options(each, local=local) for each in (trained_with, options))
    # a released checkpoint tells no more than its shapes, which are compared with the tensors
    keys = _KNOWN_OF_RELEASED & before.keys() if released else before.keys()
    for key in sorted(keys):
        if before[key] != now.get(key):
            value = yaml_value(before[key])
            raise UserError(
                place,
                f"was trained with {key}: {value}, and the options say {yaml_value(now.get(key))}",
                f"set {key}={value}, or take another checkpoint",
            )
    if local and not released:
        _check_objects(options, trained_with, place)


def _check_objects(options: Options, trained_with: Options, place: str | Path) -> None:
    """A model that never saw an object is not given any; the reverse is said (``zeros``)."""
    if trained_with.dataset.local_path == "zeros" and options.dataset.local_path not in (
        "zeros",
        None,
    ):
        raise UserError(
            place,
            "was trained with dataset.local_path: zeros, so that it never saw an object, and the "
            f"options name {options.dataset.local_path}",
            "set dataset.local_path=zeros, or train with local features",
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
