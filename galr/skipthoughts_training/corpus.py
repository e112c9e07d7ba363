"""Documents as token ids: reading, vocabulary, and the held-out part."""

from __future__ import annotations

import logging
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from galr.common.errors import UserError
from galr.data.annotations import annotation_files, read_annotations, read_lines
from galr.language.words import tokenize
from galr.weights.skipthought_files import UNKNOWN

logger = logging.getLogger(__name__)

Indices = NDArray[np.int64]

END = "eos"
"""The first words of the dictionary: end of sentence, and unknown word."""

RESERVED = (END, UNKNOWN)


def text_documents(path: str | Path) -> Iterator[list[str]]:
    """The documents of a UTF-8 text file: one sentence per line, blank lines between documents."""
    document: list[str] = []
    for line in _lines(Path(path)):
        if line.strip():
            document.append(line)
        elif document:
            yield document
            document = []
    if document:
        yield document


def _lines(path: Path) -> Iterator[str]:
    remedy = "give a UTF-8 text: one sentence per line, blank lines between documents"
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    yield line.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError:
                    raise UserError(f"{path}:{number}", "is not UTF-8", remedy) from None
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", remedy) from None


def caption_documents(folder: str | Path) -> Iterator[list[str]]:
    """The training captions of a data folder: those of an image, in order, form a document.

    A caption repeated for an image is used once, since predicting itself teaches nothing. Empty
    captions are skipped.
    """
    empty = read_lines(annotation_files(folder, "train")[0]).count("")
    annotations = read_annotations(folder, "train", empty_captions=empty)
    captions: list[dict[str, None]] = [{} for _ in annotations.images]
    for caption, image in zip(annotations.captions, annotations.caption_to_image, strict=True):
        captions[image][caption] = None
    for document in captions:
        yield list(document)


@dataclass(frozen=True)
class Corpus:
    """Sentences as token ids: 0 is padding, id i is ``words[i - 1]``.

    Sentence s is ``tokens[starts[s] : starts[s + 1]]`` and belongs to ``document[s]``.
    ``training`` and ``held_out`` are the sentences (their numbers) with a neighbour in their
    document, by part.
    """

    words: tuple[str, ...]
    tokens: NDArray[np.int32]
    starts: Indices
    document: Indices
    training: Indices
    held_out: Indices

    def padded(self, sentences: Indices) -> tuple[Indices, Indices]:
        """Ids (B, T) and lengths (B,) of some sentences."""
        lengths = self.starts[sentences + 1] - self.starts[sentences]
        position = np.arange(lengths.max(initial=0))
        inside = position < lengths[:, None]
        source = np.where(inside, self.starts[sentences][:, None] + position, 0)
        return np.where(inside, self.tokens[source], 0).astype(np.int64), lengths

    def with_neighbour(self, sentences: Indices, offset: int) -> NDArray[np.bool_]:
        """Which sentences (B,) have one at ``offset`` (-1 or 1) in their document."""
        neighbours = sentences + offset
        inside = (neighbours >= 0) & (neighbours < len(self.document))
        same: NDArray[np.bool_] = (
            self.document[np.where(inside, neighbours, 0)] == self.document[sentences]
        )
        return inside & same

    def held_out_repeats(self) -> int:
        """How many held-out sentences also occur verbatim in the training part."""

        def contents(sentences: Indices) -> list[bytes]:
            return [
                self.tokens[self.starts[sentence] : self.starts[sentence + 1]].tobytes()
                for sentence in sentences
            ]

        trained = set(contents(self.training))
        return sum(content in trained for content in contents(self.held_out))


class CorpusBuilder:
    """Collects documents as token ids, so that a corpus of any size is read only once."""

    def __init__(self, max_words: int, excluded: Iterable[str] = ()) -> None:
        """``max_words`` truncates a sentence; ``excluded`` sentences are dropped everywhere."""
        self.max_words = max_words
        self.excluded = {tuple(tokenize(sentence)) for sentence in excluded}
        self.numbers: dict[str, int] = {}
        self.tokens = array("i")
        self.starts = array("q", [0])
        self.document = array("q")
        self.documents = self.left_out = self.truncated = 0

    def add_all(self, documents: Iterable[Iterable[str]]) -> None:
        """Adds documents."""
        for sentences in documents:
            self.add(sentences)

    def add(self, sentences: Iterable[str]) -> None:
        """Adds a document; sentences without words are skipped."""
        for sentence in sentences:
            words = tokenize(sentence)
            if not words or tuple(words) in self.excluded:
                self.left_out += bool(words)
                continue
            self.truncated += len(words) > self.max_words
            for word in words[: self.max_words]:
                self.tokens.append(self.numbers.setdefault(word, len(self.numbers)))
            self.starts.append(len(self.tokens))
            self.document.append(self.documents)
        self.documents += 1

    def build(
        self, *, max_vocabulary: int, min_count: int, held_out_share: float, seed: int
    ) -> Corpus:
        """The corpus with its vocabulary: the most frequent words of the training documents.

        Words seen fewer than ``min_count`` times, or beyond ``max_vocabulary``, become unknown.
        Raises UserError if no document has two sentences, or too few can be held out.
        """
        starts = np.frombuffer(self.starts, np.int64)
        document = np.frombuffer(self.document, np.int64)
        tokens = np.frombuffer(self.tokens, np.int32)
        held_out = self._hold_out(document, held_out_share, seed)
        in_training = np.repeat(~held_out, np.diff(starts))
        words, ids = self._vocabulary(tokens[in_training], max_vocabulary, min_count)
        neighboured = np.zeros(len(document), bool)
        same = document[1:] == document[:-1]
        neighboured[1:] |= same
        neighboured[:-1] |= same
        return Corpus(
            words,
            ids[tokens],
            starts,
            document,
            training=np.flatnonzero(neighboured & ~held_out),
            held_out=np.flatnonzero(neighboured & held_out),
        )

    def _hold_out(self, document: Indices, share: float, seed: int) -> NDArray[np.bool_]:
        """Which sentences (S,) belong to held-out documents."""
        counts = np.bincount(document, minlength=self.documents)
        usable = np.flatnonzero(counts > 1)
        if not len(usable):
            raise UserError(
                "the corpus",
                "no document has two sentences",
                "write one sentence per line, with a blank line only between documents",
            )
        wanted = round(share * len(usable))
        if share > 0 and not 1 <= wanted < len(usable):
            raise UserError(
                f"--held-out {share}",
                f"would hold out {wanted} of {len(usable)} documents",
                "give more text, or another fraction",
            )
        chosen = np.random.default_rng(seed).permutation(usable)[:wanted]
        return np.isin(document, chosen)

    def _vocabulary(
        self, tokens: NDArray[np.int32], max_vocabulary: int, min_count: int
    ) -> tuple[tuple[str, ...], NDArray[np.int32]]:
        """The words in order of frequency, and the encoder's id of each provisional number."""
        counts = np.bincount(tokens, minlength=len(self.numbers))
        known = list(self.numbers)
        by_frequency = np.argsort(-counts, kind="stable")
        kept = [
            int(number)
            for number in by_frequency[:max_vocabulary]
            if counts[number] >= min_count and known[number] not in RESERVED
        ]
        ids = np.full(len(known), RESERVED.index(UNKNOWN) + 1, np.int32)
        ids[kept] = np.arange(len(kept)) + len(RESERVED) + 1
        return (*RESERVED, *(known[number] for number in kept)), ids
