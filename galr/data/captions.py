"""Captions as token ids, and their loader for evaluation."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from galr.common.errors import UserError
from galr.data.annotations import Annotations
from galr.data.batches import CaptionBatch
from galr.data.vocabulary import RawText, Tokenizer
from galr.options import DatasetOptions

logger = logging.getLogger(__name__)

# captions are small, and the more are encoded together, the more prefixes they share
CAPTIONS_A_STEP = 2048
MANY_UNKNOWN = 0.02  # of those of RSITMD and RSICD fewer than 0.0003 have none


class Captions:
    """The captions of ``annotations`` as ids, at most ``max_words`` each; raw text is not cut."""

    def __init__(self, annotations: Annotations, tokenizer: Tokenizer, max_words: int) -> None:
        self.caption_to_image = annotations.caption_to_image
        self.group = annotations.caption_group
        encoded = [tokenizer.encode(text) for text in annotations.captions]
        if len(annotations.images) > 1:
            _check_meaning(annotations, tokenizer, encoded)
        if not isinstance(tokenizer, RawText):
            wordless = sum(not ids for ids in encoded)
            cut = sum(len(ids) > max_words for ids in encoded)
            # a lone full stop, of which RSICD has some, is read as one unknown word
            encoded = [ids[:max_words] or [tokenizer.unknown] for ids in encoded]
            if wordless:
                logger.info(
                    "%s captions: %d have no words and are read as <unk>",
                    annotations.split, wordless,
                )  # fmt: skip
            if cut:
                logger.info(
                    "%s captions: %d of %d are longer than dataset.max_words = %d and were cut",
                    annotations.split, cut, len(encoded), max_words,
                )  # fmt: skip
        self.tokens = [np.array(ids, dtype=np.int64) for ids in encoded]

    def padded(self, indices: Sequence[int] | NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Tokens (B, T), padded with 0 to the longest, and lengths (B,)."""
        rows = [torch.from_numpy(self.tokens[index]) for index in indices]
        return pad_sequence(rows, batch_first=True), torch.tensor([len(row) for row in rows])


def _check_meaning(
    annotations: Annotations, tokenizer: Tokenizer, encoded: Sequence[Sequence[int]]
) -> None:
    """Warns of captions that say nothing of their image; UserError where none does."""
    split, total = annotations.split, len(encoded)
    if len(set(annotations.captions)) == 1:
        logger.warning(
            "%s captions: all %d read alike, and nothing tells the images apart", split, total
        )
    if isinstance(tokenizer, RawText):
        return
    unknown = sum(set(ids) <= {tokenizer.unknown} for ids in encoded)
    if unknown == total:
        raise UserError(
            f"{split} captions",
            f"none of the {total} has a word of the vocabulary, for example "
            f"{annotations.captions[0]!a}",
            "build it from these captions with vocab.py; for other languages than English, with "
            "dataset.tokenizer=whitespace or characters",
        )
    if unknown > MANY_UNKNOWN * total:
        logger.warning(
            "%s captions: %d of %d have no word of the vocabulary (dataset.vocab_path)",
            split, unknown, total,
        )  # fmt: skip


def caption_loader(
    annotations: Annotations,
    tokenizer: Tokenizer,
    options: DatasetOptions,
    *,
    indices: Sequence[int] | None = None,
) -> list[CaptionBatch]:
    """Each caption once, ordered by length so that little is padding.

    Captions with the same tokens are one row of one batch. ``indices`` chooses some captions.
    Batches hold CAPTIONS_A_STEP of them, or ``batch_size_val`` where that is more.
    """
    captions = Captions(annotations, tokenizer, options.max_words)
    chosen = range(len(captions.tokens)) if indices is None else indices
    same: dict[bytes, list[int]] = {}
    for index in chosen:
        same.setdefault(captions.tokens[index].tobytes(), []).append(index)
    distinct = sorted(same.values(), key=lambda group: len(captions.tokens[group[0]]))
    size = max(options.batch_size_val, CAPTIONS_A_STEP)
    return [_caption_batch(captions, distinct[i : i + size]) for i in range(0, len(distinct), size)]


def _caption_batch(captions: Captions, distinct: list[list[int]]) -> CaptionBatch:
    tokens, lengths = captions.padded([group[0] for group in distinct])
    rows = [row for row, group in enumerate(distinct) for _ in group]
    caption_index = [index for group in distinct for index in group]
    return CaptionBatch(tokens, lengths, torch.tensor(rows), torch.tensor(caption_index))
