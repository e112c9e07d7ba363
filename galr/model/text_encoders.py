"""The sentence encoder of the options: word-level, a pretrained model, or both."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from galr.common.errors import UserError
from galr.data.vocabulary import RawText, Vocabulary
from galr.encoders.pretrained_sentences import FrozenSentences, PretrainedSentences, read_sentences
from galr.encoders.token_checks import checked_lengths
from galr.model.skipthoughts import SentenceEncoder, build_skipthoughts
from galr.options import ModelOptions, Options
from galr.weights.files import State

SENTENCE_ENCODER = "text_encoder.sentence_encoder."

_KEPT_CAPTIONS = 1 << 17  # captions whose word ids are cached: a whole data set


class WordsAndSentence(nn.Module):
    """A word-level and a sentence encoder, with their vectors concatenated."""

    def __init__(
        self,
        words: SentenceEncoder,
        sentences: FrozenSentences | PretrainedSentences,
        vocabulary: Vocabulary,
        max_words: int,
    ) -> None:
        """``words`` reads the first ``max_words`` ids of ``vocabulary``, ``sentences`` the text."""
        super().__init__()
        self.words, self.sentences = words, sentences
        self.sentence_dim = words.sentence_dim + sentences.sentence_dim

        def word_ids(text: bytes) -> Tensor:
            ids = vocabulary.encode(text.decode())[:max_words]
            return torch.tensor(ids or [vocabulary.unknown])

        self._word_ids = lru_cache(_KEPT_CAPTIONS)(word_ids)

    def forward(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Ids of ``RawText`` (B, T) padded with 0, lengths (B,) -> (B, sentence_dim)."""
        lengths = checked_lengths(tokens, lengths, RawText.ids)
        sentences = self.sentences(tokens, lengths)
        rows = [self._word_ids(text) for text in RawText.bytes_of(tokens, lengths)]
        counts = torch.tensor([len(row) for row in rows], dtype=torch.int64)
        padded = pad_sequence(rows or [torch.empty(0, dtype=torch.int64)], batch_first=True)
        words = self.words(padded[: len(rows)].to(tokens.device), counts)
        return torch.cat([words, sentences.to(words.dtype)], dim=1)


Sentences = SentenceEncoder | FrozenSentences | PretrainedSentences | WordsAndSentence


def build_sentence_encoder(options: Options, words: Sequence[str]) -> Sentences:
    """The sentence encoder of ``options`` for the vocabulary ``words``, initialised.

    Raises UserError for files that are missing or wrong.
    """
    model, text = options.model, options.model.seq2vec
    parts = model.text_parts
    if text.pretrained and text.dir_st is None and (parts.words or parts.of_seq2vec):
        raise UserError(
            "model.seq2vec.dir_st",
            "is null, yet model.seq2vec.pretrained is true",
            "name the folder of the skip-thought files, or set model.seq2vec.pretrained=false",
        )
    if parts.words is None:
        return _sentences(model)
    of_words = build_skipthoughts(
        parts.words,
        text.dir_st if text.pretrained else None,
        words,
        text.dropout,
        text.fixed_emb,
        text.word_dim,
        text.hidden_dim,
    )
    return _joined(options, of_words, words)


def sentence_encoder_for(options: Options, state: State, words: Sequence[str] | None) -> Sentences:
    """An encoder with the sizes of the weights ``state``, without reading skip-thought files.

    ``words``: its vocabulary, needed by a word-level encoder beside a pretrained model. A
    pretrained model is built from its folder. Raises UserError if that differs from the frozen
    model in ``state``.
    """
    model, text = options.model, options.model.seq2vec
    parts = model.text_parts
    if parts.words is None:
        sentences = _sentences(model)
        _check_fingerprint(sentences, state, SENTENCE_ENCODER, model)
        return sentences
    inside = SENTENCE_ENCODER if parts.sentences is None else f"{SENTENCE_ENCODER}words."
    table = state[f"{inside}embedding.weight"]
    word_dim, hidden_dim = text.word_dim, text.hidden_dim
    if text.pretrained:  # the sizes came from the files, not from the options
        directions = 2 if f"{inside}reversed_gru.recurrent.weight" in state else 1
        recurrent = state[f"{inside}gru.recurrent.weight"]
        word_dim, hidden_dim = table.shape[1], recurrent.shape[1] * directions
    with torch.device("meta"):
        of_words = build_skipthoughts(
            parts.words,
            None,
            [""] * (len(table) - 1),
            text.dropout,
            text.fixed_emb,
            word_dim,
            hidden_dim,
        )
    joined = _joined(options, of_words, words or ())
    if isinstance(joined, WordsAndSentence):
        _check_fingerprint(joined.sentences, state, f"{SENTENCE_ENCODER}sentences.", model)
    return joined


def without_frozen(state: State, encoder: nn.Module) -> State:
    """``state`` without the weights of a frozen model, which earlier versions stored."""
    own = f"{SENTENCE_ENCODER}fingerprint"
    if not isinstance(encoder, FrozenSentences) or own in state:
        return state
    inside = f"{SENTENCE_ENCODER}model."
    kept = {name: each for name, each in state.items() if not name.startswith(inside)}
    return {**kept, own: encoder.fingerprint}


def _joined(options: Options, of_words: Sentences, words: Sequence[str]) -> Sentences:
    if options.model.text_parts.sentences is None:
        return of_words
    assert isinstance(of_words, SentenceEncoder)
    sentences = _sentences(options.model)
    return WordsAndSentence(
        of_words, sentences, Vocabulary(words, options.dataset.tokenizer), options.dataset.max_words
    )


def _sentences(options: ModelOptions) -> FrozenSentences | PretrainedSentences:
    parts, seq2vec = options.text_parts, options.seq2vec
    if parts.of_seq2vec:
        folder, fixed = seq2vec.dir_st if seq2vec.pretrained else None, seq2vec.fixed_emb
        built = build_skipthoughts(seq2vec.type, folder, fixed_embedding=fixed)
        assert not isinstance(built, SentenceEncoder)
        return built
    assert parts.sentences is not None
    model = read_sentences(parts.sentences)
    if parts.train == "none":
        return FrozenSentences(model)
    return PretrainedSentences(model, options.text.lora_rank if parts.train == "lora" else None)


def _check_fingerprint(encoder: nn.Module, state: State, name: str, options: ModelOptions) -> None:
    stored = state.get(f"{name}fingerprint")
    if (
        isinstance(encoder, FrozenSentences)
        and stored is not None
        and not torch.equal(stored, encoder.fingerprint)
    ):
        raise UserError(
            f"model.text.type: {options.text_parts.sentences}",
            "has other weights than the model used in training",
            "restore those, or train again",
        )
