"""Keys of earlier versions and of the released code, which options files may still have."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from galr.common.errors import UserError

logger = logging.getLogger(__name__)

Tree = dict[str, Any]

# Earlier keys and their current ones, which are in the same section.
RENAMED_KEYS = {"model.backbone.cache_maps": "model.backbone.cache_features"}

# Keys that the released files carry and no code of theirs or ours reads.
RELEASED_UNUSED = frozenset({
    "model.global_local_weight", "model.fusion.correct", "model.fusion.final_relu",
    "model.fusion.supervised_weight", "global_local_weight", "dataset.data_split",
    "dataset.data_name", "optim.resume", "logs.logger_name", "k_fold.current_num",
})  # fmt: skip


def current_keys(tree: Tree, place: str | Path, *, warn: bool = True, prefix: str = "") -> Tree:
    """``tree`` with every earlier key replaced by the current one, each named in a warning.

    Raises UserError where ``tree`` has both; ``place`` is named in messages.
    """
    current: Tree = {}
    for key, value in tree.items():
        path = f"{prefix}{key}"
        new = RENAMED_KEYS.get(path)
        if new is not None:
            key = new.removeprefix(prefix)
            if key in tree:
                what = f"is the earlier name of {new}, which is given as well"
                raise UserError(f"{place}: {path}", what, f"remove {path}")
            if warn:
                logger.warning("%s: %s is now %s", place, path, new)
        if isinstance(value, dict):
            value = current_keys(value, place, warn=warn, prefix=f"{prefix}{key}.")
        current[key] = value
    return current


def without_released_keys(tree: Tree, place: str | Path) -> Tree:
    """``tree`` without what only released files have, part of it under its current key."""
    tree, unused = _split_unused(tree)
    _drop_cross_attention(tree)
    if unused:
        logger.warning("%s: keys without effect here: %s", place, ", ".join(unused))
    _adopt_word_dict(tree)
    return tree


def _split_unused(tree: Tree, prefix: str = "") -> tuple[Tree, list[str]]:
    kept: Tree = {}
    unused: list[str] = []
    for key, value in tree.items():
        path = f"{prefix}{key}"
        if path in RELEASED_UNUSED:
            unused.append(path)
        elif isinstance(value, dict):
            kept[key], below = _split_unused(value, f"{path}.")
            unused += below
        else:
            kept[key] = value
    return kept, unused


def _drop_cross_attention(tree: Tree) -> None:
    """Released files of GaLR carry AMFMN's section, which GaLR does not read."""
    model = tree.get("model")
    if isinstance(model, dict) and model.get("name", "GaLR") != "AMFMN":
        tree["model"] = {key: value for key, value in model.items() if key != "cross_attention"}


def _adopt_word_dict(tree: Tree) -> None:
    """Released files may name the vocabulary in model.seq2vec.word_dict alone."""
    model, dataset = tree.get("model"), tree.get("dataset", {})
    seq2vec = model.get("seq2vec") if isinstance(model, dict) else None
    word_dict = seq2vec.get("word_dict") if isinstance(seq2vec, dict) else None
    if word_dict is not None and isinstance(dataset, dict) and "vocab_path" not in dataset:
        tree["dataset"] = {**dataset, "vocab_path": word_dict}
