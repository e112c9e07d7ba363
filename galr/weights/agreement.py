"""Whether options and vocabulary are those that a checkpoint was trained with."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path
from typing import Any

from galr.common.errors import UserError
from galr.options import Options, flatten_options, yaml_value

OTHER_OPTIONS = "give the options that it was trained with (options.yaml beside it)"

# Options that the shapes and names of a released checkpoint tell.
_KNOWN_OF_RELEASED = {
    "model.name",
    "model.cross_attention.att_type",
    "model.seq2vec.type",
    "model.fusion.type",
    "model.fusion.gate",
}

# keys of `model` that change neither the network nor its input in evaluation
_TRAINING_ONLY = (
    "model.backbone.train",
    "model.backbone.batch_norm",
    "model.backbone.unfreeze_at",
    "model.backbone.cache_features",
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


def _evaluation_options(options: Options, *, local: bool) -> dict[str, Any]:
    """All options that determine the network and its input in evaluation, by key.

    ``local``: whether the model has a local branch; without one, its options are left out.
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


def check_options(
    options: Options, trained_with: Options, local: bool, place: str | Path, *, released: bool
) -> None:
    """Raises UserError where ``options`` differ from those of the training in evaluation."""
    if local and not options.model.local:
        raise UserError(place, "has a local branch, and model.local is false", OTHER_OPTIONS)
    if options.uses_local and not local:
        raise UserError(
            place,
            "has no local branch, and dataset.local_path names local features",
            "set dataset.local_path=null or model.local=false",
        )
    before, now = (_evaluation_options(each, local=local) for each in (trained_with, options))
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
    """A model trained without objects is not evaluated with some; the reverse is ``zeros``."""
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


def check_vocabulary(words: list[str], stored: object, rows: int, place: str | Path) -> None:
    """Raises UserError where ``words`` differ from the ``stored`` ones or do not fit the ``rows``.

    rows: of the word vectors, including that of padding.
    """
    remedy = "set dataset.vocab_path to the vocabulary that it was trained with"
    if rows != len(words) + 1:
        what = f"was trained with {rows - 1} words, and the vocabulary has {len(words)}"
        raise UserError(place, what, remedy)
    if isinstance(stored, list) and stored != words:
        pairs = enumerate(zip_longest(stored, words), start=1)
        number, (before, now) = next((i, pair) for i, pair in pairs if pair[0] != pair[1])
        what = f"was trained with {before!r} as word {number}, and the vocabulary has {now!r}"
        raise UserError(place, what, remedy)
