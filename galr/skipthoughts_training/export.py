"""Writes the trained encoder as official files, with its vocabulary expanded if requested."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from torch import Tensor

from galr.common.errors import UserError
from galr.model.gru import GRU
from galr.model.skipthoughts import SentenceEncoder
from galr.skipthoughts_training.expansion import WordVectors
from galr.skipthoughts_training.skipthought_files_export import dictionary_text, write_skipthoughts
from galr.weights.skipthought_files import DICTIONARY, GRUS, TABLES, Array, GruWeights

logger = logging.getLogger(__name__)


def check_folder(directory: Path, layout: str, words: list[str], overwrite: bool) -> None:
    """Raises UserError if writing would invalidate existing files.

    Both layouts share one dictionary, so the second must have the words of the first.
    """
    for name in (TABLES[layout], GRUS[layout]):
        if (directory / name).exists() and not overwrite:
            raise UserError(
                directory / name, "already exists", "choose another --out, or add --overwrite"
            )
    others = (name for kind, name in TABLES.items() if kind != layout)
    other = next((name for name in others if (directory / name).exists()), None)
    if other is None:
        return
    dictionary = directory / DICTIONARY
    if not dictionary.is_file() or dictionary.read_bytes() != dictionary_text(words).encode():
        raise UserError(
            dictionary,
            f"belongs to {other} and has a different vocabulary",
            "train both kinds on the same corpus, or choose another --out",
        )


def export(
    encoder: SentenceEncoder, words: tuple[str, ...], vectors: WordVectors | None, directory: Path
) -> None:
    """Writes and logs the three files of the encoder's layout."""
    table = _numpy(encoder.embedding.weight)[1:]  # without the padding row
    blocks: Iterator[Array] = iter([table])
    all_words = list(words)
    if vectors is not None:
        linear_map = vectors.fit(table)
        all_words += vectors.new_words
        blocks = chain(blocks, vectors.mapped(linear_map))
        logger.info(
            "%s: added %d words by a map fitted on %d",
            vectors.path,
            len(vectors.new_words),
            len(vectors.shared_rows),
        )
    grus = [_gru_weights(gru) for gru in encoder.children() if isinstance(gru, GRU)]
    paths = write_skipthoughts(directory, encoder.layout, all_words, blocks, grus)
    logger.info("wrote %s (%d words)", ", ".join(map(str, paths)), len(all_words))


def _gru_weights(gru: GRU) -> GruWeights:
    return GruWeights(
        _numpy(gru.input.weight), _numpy(gru.input.bias), _numpy(gru.recurrent.weight)
    )


def _numpy(tensor: Tensor) -> Array:
    array: Array = tensor.detach().float().cpu().numpy()
    return array
