"""The official files of skip-thoughts: read safely, only the rows that are needed, and written."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from galr.common.arrays import DAMAGED_ARRAYS
from galr.common.errors import UserError

logger = logging.getLogger(__name__)

Array = np.ndarray[Any, np.dtype[np.float32]]

DICTIONARY = "dictionary.txt"
UNKNOWN = "UNK"
"""The dictionary's word whose row stands for every word outside it."""

TABLES = {"uni": "utable.npy", "bi": "btable.npy"}
GRUS = {"uni": "uni_skip.npz", "bi": "bi_skip.npz"}
PREFIXES = {"uni": ("encoder_",), "bi": ("encoder_", "encoder_r_")}

_REMEDY = (
    "put the official file there (once at http://www.cs.toronto.edu/~rkiros/models/, often "
    "unreachable), train your own with python -m galr.skipthoughts_training "
    "(docs/text_encoders.md), or start from random weights with model.seq2vec.pretrained: false"
)


@dataclass(frozen=True)
class GruWeights:
    """Both projections of a GRU, gates in the order r, i, n.

    input_weight (3H, word_dim), input_bias (3H,), recurrent_weight (3H, H).
    """

    input_weight: Array
    input_bias: Array
    recurrent_weight: Array


@dataclass(frozen=True)
class Skipthoughts:
    """What is read for a vocabulary of n words.

    embedding (n + 1, word_dim), row 0 zeros; a GRU for each direction; the words of the vocabulary
    that the dictionary does not have.
    """

    embedding: Array
    grus: tuple[GruWeights, ...]
    not_found: tuple[str, ...]

    @property
    def word_dim(self) -> int:
        """Numbers a word vector."""
        return int(self.embedding.shape[1])

    @property
    def sentence_dim(self) -> int:
        """Numbers a sentence vector: H for each direction."""
        return sum(int(gru.recurrent_weight.shape[1]) for gru in self.grus)


def read_skipthoughts(directory: str | Path, layout: str, words: Sequence[str]) -> Skipthoughts:
    """Reads ``dictionary.txt``, the table and the GRU of ``layout`` (`uni` or `bi`).

    Raises UserError for a missing file, one that holds anything but plain numbers, and shapes that
    do not fit.
    """
    directory = Path(directory)
    for name in (DICTIONARY, TABLES[layout], GRUS[layout]):
        if not (directory / name).is_file():
            raise UserError(directory / name, "this skip-thought file is missing", _REMEDY)
    embedding, not_found = _read_embedding(directory, layout, words)
    grus = _read_grus(directory / GRUS[layout], layout, word_dim=embedding.shape[1])
    found = len(words) - len(not_found)
    logger.info("%s: %d of %d words found", directory / DICTIONARY, found, len(words))
    return Skipthoughts(embedding, grus, not_found)


def _read_embedding(
    directory: Path, layout: str, words: Sequence[str]
) -> tuple[Array, tuple[str, ...]]:
    table = _open_table(directory / TABLES[layout])
    rows, entries = _dictionary_rows(directory / DICTIONARY, {*words, UNKNOWN})
    if entries != len(table):
        raise UserError(
            directory / DICTIONARY,
            f"has {entries} words, but {TABLES[layout]} has {len(table)} rows",
            "take both files from the same download or training run",
        )
    not_found = tuple(word for word in words if word not in rows)
    if not_found and UNKNOWN not in rows:
        raise UserError(
            directory / DICTIONARY,
            f"has no {UNKNOWN}, which stands for words outside it such as {not_found[0]!r}",
            "take the dictionary that belongs to the table",
        )
    embedding = np.zeros((len(words) + 1, table.shape[1]), np.float32)
    if words:
        # in ascending order the mapped file is read forwards
        indices = np.array([rows[word] if word in rows else rows[UNKNOWN] for word in words])
        order = np.argsort(indices)
        embedding[1 + order] = table[indices[order]]
    _check_finite(embedding, directory / TABLES[layout])
    return embedding, not_found


def _dictionary_rows(path: Path, wanted: set[str]) -> tuple[dict[str, int], int]:
    """The rows of the ``wanted`` words, and the number of words in the dictionary.

    Lines end with a line feed alone: some of the official words hold other line separators.
    """
    rows, row = {}, -1
    remedy = "give a UTF-8 text file with one word per line"
    try:
        with path.open("rb") as file:
            for row, line in enumerate(file):
                word = line.decode("utf-8").strip()
                if word in wanted:
                    rows[word] = row
    except UnicodeDecodeError:
        raise UserError(f"{path}:{row + 1}", "is not UTF-8", remedy) from None
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", remedy) from None
    return rows, row + 1


def _open_table(path: Path) -> Array:
    """The table of word vectors (words, word_dim), mapped into memory and not read."""
    try:
        table = np.load(path, mmap_mode="r", allow_pickle=False)
    except DAMAGED_ARRAYS as error:
        raise _unreadable(path, error) from None
    if not isinstance(table, np.ndarray):
        raise _unreadable(path, "it is an archive, not one array")
    _check_array(table, (None, None), path)
    return table


def _read_grus(path: Path, layout: str, word_dim: int) -> tuple[GruWeights, ...]:
    # opened here, since np.load leaves a damaged archive open
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise _unreadable(path, "it is not an archive of arrays")
            grus = tuple(_read_gru(archive, prefix, path, word_dim) for prefix in PREFIXES[layout])
    except UserError:
        raise
    except DAMAGED_ARRAYS as error:
        raise _unreadable(path, error) from None
    if len({gru.recurrent_weight.shape for gru in grus}) > 1:
        raise UserError(path, "its two directions have different sizes", "take another copy")
    return grus


def _read_gru(archive: Mapping[str, Array], prefix: str, path: Path, word_dim: int) -> GruWeights:
    """The official layout keeps [r, i] together and n apart, each as (in, out)."""
    state = _read_array(archive, f"{prefix}Ux", (None, None), path)
    size = state.shape[1]
    shapes = {
        "W": (word_dim, 2 * size),
        "Wx": (word_dim, size),
        "b": (2 * size,),
        "bx": (size,),
        "U": (size, 2 * size),
        "Ux": (size, size),
    }
    arrays = {
        name: _read_array(archive, prefix + name, shape, path) for name, shape in shapes.items()
    }
    return GruWeights(
        input_weight=np.concatenate([arrays["W"], arrays["Wx"]], axis=1).T,
        input_bias=np.concatenate([arrays["b"], arrays["bx"]]),
        recurrent_weight=np.concatenate([arrays["U"], arrays["Ux"]], axis=1).T,
    )


def _read_array(
    archive: Mapping[str, Array], key: str, shape: tuple[int | None, ...], path: Path
) -> Array:
    try:
        array = archive[key]
    except KeyError:
        raise UserError(path, f"has no array {key}", _REMEDY) from None
    except UserError:
        raise
    except DAMAGED_ARRAYS as error:
        raise _unreadable(f"{path}: {key}", error) from None
    _check_array(array, shape, f"{path}: {key}")
    _check_finite(array, f"{path}: {key}")
    return np.asarray(array, np.float32)


def _check_array(array: Array, shape: tuple[int | None, ...], place: str | Path) -> None:
    fits = len(array.shape) == len(shape) and all(
        wanted is None or wanted == size for wanted, size in zip(shape, array.shape, strict=True)
    )
    if not fits or 0 in array.shape:
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise UserError(place, f"expected shape ({wanted}), got {array.shape}", _REMEDY)
    if array.dtype.kind != "f":
        raise UserError(place, f"expected float32, got {array.dtype}", _REMEDY)


def _check_finite(array: Array, place: str | Path) -> None:
    if not np.isfinite(array).all():
        raise UserError(place, "holds numbers that are not finite", _REMEDY)


def _unreadable(place: str | Path, error: Exception | str) -> UserError:
    return UserError(place, f"cannot be read as plain arrays ({error})", _REMEDY)
