"""Vocabulary expansion: maps word vectors linearly (Kiros et al. 2015, section 2.2)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from galr.common.errors import UserError
from galr.weights.skipthought_files import Array

logger = logging.getLogger(__name__)

BLOCK = 4096
"""Word vectors mapped at a time."""


class WordVectors:
    """A text file of word vectors in the format of word2vec or GloVe: one word per line.

    word2vec's header line is optional.
    """

    def __init__(self, path: str | Path, known: Sequence[str]) -> None:
        """Reads the file once: its new words, and the vectors of the ``known`` ones.

        Raises UserError for a line without a word and as many numbers as in the first.
        """
        self.path = Path(path)
        rows = {word: row for row, word in enumerate(known)}
        shared: dict[int, Array] = {}
        self.new_words: list[str] = []
        seen = set()
        for word, vector in self._lines():
            if word in rows:
                shared.setdefault(rows[word], vector)
            elif word not in seen:
                seen.add(word)
                self.new_words.append(word)
        if not shared:
            raise UserError(
                path, "shares no word with the corpus", "give vectors of the same language"
            )
        self.shared_rows = np.array(list(shared), np.int64)
        self.shared_vectors = np.stack(list(shared.values()))

    def fit(self, table: Array) -> Array:
        """The map (d, word_dim) with the least squared error over the shared words.

        table (words, word_dim) are the trained vectors of the known words.
        """
        found, _, rank, _ = np.linalg.lstsq(
            self.shared_vectors.astype(np.float64), table[self.shared_rows], rcond=None
        )
        if rank < self.shared_vectors.shape[1]:
            logger.warning(
                "%s: %d shared words underdetermine the map from %d dimensions; using minimum norm",
                self.path,
                len(self.shared_rows),
                self.shared_vectors.shape[1],
            )
        return found.astype(np.float32)

    def mapped(self, linear_map: Array) -> Iterator[Array]:
        """The mapped vectors of ``new_words``, in their order, in blocks (n, word_dim)."""
        wanted = iter(self.new_words)
        word_wanted = next(wanted, None)
        block: list[Array] = []
        for word, vector in self._lines():
            if word != word_wanted:
                continue
            word_wanted = next(wanted, None)
            block.append(vector)
            if len(block) == BLOCK:
                yield np.stack(block) @ linear_map
                block = []
        if block:
            yield np.stack(block) @ linear_map

    def _lines(self) -> Iterator[tuple[str, Array]]:
        """Words and their vectors; skips words that do not fit on a line of the dictionary."""
        numbers = None
        try:
            with self.path.open("rb") as file:
                for number, line in enumerate(file, start=1):
                    fields = line.split()
                    if not fields:
                        continue
                    if number == 1 and len(fields) == 2 and all(map(bytes.isdigit, fields)):
                        numbers = int(fields[1])
                        continue
                    numbers = numbers or len(fields) - 1
                    # words may contain spaces: the numbers are the last fields
                    vector = self._vector(fields[-numbers:], numbers, number)
                    word = b" ".join(fields[:-numbers]).decode("utf-8", "replace")
                    if word and word == word.strip() and "�" not in word and "\n" not in word:
                        yield word, vector
        except OSError as error:
            raise UserError(
                self.path, f"cannot be read ({error.strerror})", "name a file of word vectors"
            ) from None

    def _vector(self, fields: list[bytes], numbers: int, line: int) -> Array:
        try:
            vector = np.array(fields, np.float32)
        except ValueError:
            vector = np.empty(0, np.float32)
        if len(vector) != numbers or numbers < 1 or not np.isfinite(vector).all():
            raise UserError(
                f"{self.path}:{line}",
                f"expected a word and {numbers} numbers",
                "give word vectors as text, in word2vec's or GloVe's format",
            )
        return vector
