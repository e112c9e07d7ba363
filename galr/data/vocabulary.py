"""The vocabulary: built from captions, stored in the JSON format of the released code."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from galr.common.atomic import write_text
from galr.common.errors import UserError
from galr.language.words import STOP_WORDS, tokenize
from galr.options import Options

UNKNOWN = "<unk>"


class Vocabulary:
    """Words with the ids 1 to n, in the given order; id 0 is padding.

    Captions are split by ``tokenizer`` (see ``tokenize``). Words that are not in it become
    ``<unk>``, which must be among ``words`` and whose id is ``unknown``. ``len`` is n + 1, the rows
    of an embedding. Raises ValueError for a duplicate word and without ``<unk>``.
    """

    def __init__(self, words: Sequence[str], tokenizer: str = "nltk") -> None:
        self.words, self.tokenizer = tuple(words), tokenizer
        self._ids = {word: number for number, word in enumerate(self.words, start=1)}
        if len(self._ids) != len(self.words):
            raise ValueError("duplicate word")
        if UNKNOWN not in self._ids:
            raise ValueError(f"missing word {UNKNOWN}")
        self.unknown = self._ids[UNKNOWN]

    def __len__(self) -> int:
        return len(self.words) + 1

    def __contains__(self, word: str) -> bool:
        return word in self._ids

    def encode(self, caption: str) -> list[int]:
        """The ids of the caption's tokens; empty where it holds nothing but punctuation."""
        return [self._ids.get(token, self.unknown) for token in self.tokenize(caption)]

    def tokenize(self, caption: str) -> list[str]:
        """The caption's tokens, also those that are not in the vocabulary."""
        return tokenize(caption, self.tokenizer)

    def knows_a_word(self, caption: str) -> bool:
        """Whether any token of the caption is in the vocabulary."""
        return any(token in self._ids and token != UNKNOWN for token in self.tokenize(caption))

    def save(self, path: str | Path) -> None:
        """Writes the released JSON format: word2idx, idx2word and idx, the next free id."""
        content: dict[str, Any] = {
            "word2idx": self._ids,
            "idx2word": {number: word for word, number in self._ids.items()},
            "idx": len(self),
        }
        if self.tokenizer != "nltk":
            content["tokenizer"] = self.tokenizer
        write_text(path, json.dumps(content))

    @classmethod
    def load(cls, path: str | Path) -> Vocabulary:
        """Reads what ``save`` or the released code wrote; raises UserError if it is not that."""
        make = "make it with python vocab.py (docs/data.md)"
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(path, "there is no such vocabulary", make) from None
        except OSError as error:
            raise UserError(path, f"cannot be read ({error.strerror})", make) from None
        except (ValueError, RecursionError) as error:
            raise UserError(path, f"is not valid JSON ({error})", make) from None
        try:
            return cls(_words_in_order(content), str(content.get("tokenizer", "nltk")))
        except ValueError as error:
            raise UserError(path, f"is not a vocabulary: {error}", make) from None


class RawText:
    """Captions for a text encoder with a tokeniser of its own: as they are, nothing left out.

    The ids are the bytes of its UTF-8 text plus 1, so that 0 is padding as in ``Vocabulary``.
    ``words`` are those of a vocabulary that the encoder reads them by as well.
    """

    ids = 257

    def __init__(self, words: Sequence[str] = ()) -> None:
        self.words = tuple(words)

    def encode(self, caption: str) -> list[int]:
        """The ids of the caption's bytes."""
        return [byte + 1 for byte in caption.encode()]

    @staticmethod
    def decode(ids: Sequence[int]) -> str:
        """The caption that ``encode`` turned into ``ids``."""
        return bytes(number - 1 for number in ids).decode()

    @staticmethod
    def bytes_of(tokens: Tensor, lengths: Tensor) -> list[bytes]:
        """The captions of a batch, ids (B, T) and lengths (B,), in UTF-8."""
        rows = (tokens - 1).to(torch.uint8).cpu().numpy()
        return [row[:length].tobytes() for row, length in zip(rows, lengths.tolist(), strict=True)]


Tokenizer = Vocabulary | RawText


def read_tokenizer(options: Options) -> Tokenizer:
    """The tokeniser for the text encoder of ``options``.

    Raises UserError for a vocabulary that is missing or damaged.
    """
    if options.model.text_parts.words is None:
        return RawText()
    path, tokenizer = options.dataset.vocab_path, options.dataset.tokenizer
    vocabulary = Vocabulary.load(path)
    if vocabulary.tokenizer != tokenizer:
        raise UserError(
            path,
            f"was made by the tokeniser {vocabulary.tokenizer}, and dataset.tokenizer is "
            f"{tokenizer}",
            "set dataset.tokenizer to it, or make the vocabulary again by vocab.py",
        )
    return tokenizer_of(options, vocabulary)


def tokenizer_of(options: Options, vocabulary: Vocabulary) -> Tokenizer:
    """The tokeniser for the text encoder of ``options`` over the words of ``vocabulary``."""
    parts = options.model.text_parts
    if parts.words is None:
        return RawText()
    return vocabulary if parts.sentences is None else RawText(vocabulary.words)


def build_vocabulary(
    captions: Iterable[str],
    *,
    threshold: int = 5,
    stop_words: bool = False,
    tokenizer: str = "nltk",
) -> Vocabulary:
    """The words that occur ``threshold`` times or more, by first appearance, and ``<unk>`` last.

    English stop words are left out as in the released code, unless ``stop_words`` keeps them or
    ``tokenizer`` is one for other languages.
    """
    stop_words = stop_words or tokenizer != "nltk"
    # a Counter keeps the order of first appearance, of captions and of words
    times = Counter(captions)
    counts: Counter[str] = Counter()
    for caption, repeats in times.items():
        for token in tokenize(caption, tokenizer):
            counts[token] += repeats
    words = [
        word
        for word, count in counts.items()
        if count >= threshold and word != UNKNOWN and (stop_words or word not in STOP_WORDS)
    ]
    return Vocabulary([*words, UNKNOWN], tokenizer)


def check_words(vocabulary: Vocabulary, place: str | Path) -> None:
    """Raises UserError, naming ``place``, for a vocabulary that was built and holds no word."""
    if vocabulary.words == (UNKNOWN,):
        raise UserError(
            place,
            f"no word is frequent enough for a vocabulary (tokeniser {vocabulary.tokenizer})",
            "in a language that is not English choose another by --tokenizer; of few captions make "
            "it by vocab.py --threshold 1",
        )


def _words_in_order(content: Any) -> list[str]:  # noqa: ANN401 - whatever the JSON held
    ids = content.get("word2idx") if isinstance(content, dict) else None
    if not isinstance(ids, dict):
        raise ValueError("missing key 'word2idx'")
    words = sorted(ids, key=lambda word: ids[word] if isinstance(ids[word], int) else 0)
    if [ids[word] for word in words] != list(range(1, len(words) + 1)):
        raise ValueError(f"the ids of its {len(words)} words are not 1 to {len(words)}")
    return words
