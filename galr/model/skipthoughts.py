"""Sentence encoders: the four types of skip-thoughts, and the paper's bidirectional GRU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from galr.common.errors import UserError
from galr.encoders.pretrained_sentences import KIND as PRETRAINED
from galr.encoders.pretrained_sentences import (
    FrozenSentences,
    PretrainedSentences,
    read_sentence_folder,
)
from galr.encoders.token_checks import checked_lengths
from galr.model.gru import GRU, bayesian_states, dropped_states
from galr.model.prefixes import shared_prefixes
from galr.weights.skipthought_files import Skipthoughts, read_skipthoughts


class SentenceEncoder(nn.Module):
    """Base class: a table of word vectors, a GRU, and checked captions."""

    layout = "uni"
    """Layout of the official files for this type: `uni`, or `bi` for two directions."""

    def __init__(self, words: int, word_dim: int, hidden_dim: int, dropout: float = 0.0) -> None:
        """``words``: vocabulary size without padding; ``hidden_dim``: dimension of the output."""
        super().__init__()
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f"dropout must be in [0, 1), got {dropout}")
        if self.layout == "bi" and hidden_dim % 2:
            raise ValueError(f"hidden_dim must be even for two directions, got {hidden_dim}")
        self.dropout = dropout
        self.sentence_dim = hidden_dim
        self.not_found: tuple[str, ...] = ()  # words that are not in the files
        self.embedding = nn.Embedding(words + 1, word_dim, padding_idx=0)
        self.gru = GRU(word_dim, hidden_dim // (2 if self.layout == "bi" else 1))
        if self.layout == "bi":
            self.reversed_gru = GRU(word_dim, hidden_dim // 2)

    def forward(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """tokens (B, T) int64 padded with 0, lengths (B,) -> (B, sentence_dim).

        ``lengths``: default, the number of non-zero ids. Raises ValueError as
        ``checked_lengths`` does.
        """
        lengths = checked_lengths(tokens, lengths, self.embedding.num_embeddings)
        if not len(tokens):
            return self.embedding.weight.new_zeros(0, self.sentence_dim)
        return self.encode(tokens, lengths)

    def encode(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """``forward`` of checked captions; lengths (B,) on the CPU."""
        raise NotImplementedError

    @torch.no_grad()
    def load_files(self, files: Skipthoughts) -> None:
        """Copies word vectors and projections of the same sizes into this encoder."""
        self.not_found = files.not_found
        self.embedding.weight.copy_(torch.from_numpy(files.embedding))
        grus = [self.gru, self.reversed_gru] if self.layout == "bi" else [self.gru]
        for gru, weights in zip(grus, files.grus, strict=True):
            gru.input.weight.copy_(torch.from_numpy(weights.input_weight))
            gru.input.bias.copy_(torch.from_numpy(weights.input_bias))
            gru.recurrent.weight.copy_(torch.from_numpy(weights.recurrent_weight))


class UniSkip(SentenceEncoder):
    """The last state of a GRU over the word vectors (Kiros et al. 2015).

    ``dropout`` has no effect, as in the released code, which passes it to a single-layer GRU.
    """

    def encode(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """The last state of each caption, (B, H)."""
        states: Tensor = self.gru(self.embedding, shared_prefixes(tokens, lengths))
        return states


class DropUniSkip(UniSkip):
    """UniSkip with dropout on word vectors and states in training, shared by all gates."""

    dropped = staticmethod(dropped_states)

    def encode(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """The last state of each caption, (B, H)."""
        if not self.training or self.dropout == 0:
            return super().encode(tokens, lengths)
        packed = pack_padded_sequence(tokens, lengths, batch_first=True, enforce_sorted=False)
        return self.dropped(
            self.gru, packed._replace(data=self.embedding(packed.data)), self.dropout
        )


class BayesianUniSkip(DropUniSkip):
    """UniSkip with variational dropout in training, with separate masks per gate."""

    dropped = staticmethod(bayesian_states)


class BiSkip(SentenceEncoder):
    """The last states of a forward and a backward GRU, concatenated.

    ``dropout`` has no effect, as in the released code.
    """

    layout = "bi"
    mean = False

    def encode(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Both directions' (B, H) as (B, 2H)."""
        directions = ((self.gru, tokens), (self.reversed_gru, _reversed(tokens, lengths)))
        return torch.cat(
            [
                gru(self.embedding, shared_prefixes(ids, lengths), mean=self.mean)
                for gru, ids in directions
            ],
            dim=1,
        )


class BiGRU(BiSkip):
    """The mean over words of both directions' states (GaLR, figure 2)."""

    mean = True


class BagOfWords(SentenceEncoder):
    """The mean of word vectors of dimension ``hidden_dim``; ``dropout`` drops whole words."""

    def __init__(self, words: int, word_dim: int, hidden_dim: int, dropout: float = 0.0) -> None:
        """``word_dim`` has no effect; the rest as in ``SentenceEncoder``."""
        nn.Module.__init__(self)
        self.dropout, self.sentence_dim, self.not_found = dropout, hidden_dim, ()
        self.embedding = nn.Embedding(words + 1, hidden_dim, padding_idx=0)

    def encode(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """(B, H); a caption whose words are all dropped gives zeros."""
        kept = tokens > 0
        if self.training and self.dropout:
            kept = kept & (torch.rand(tokens.shape, device=tokens.device) >= self.dropout)
        words = self.embedding(tokens) * kept.unsqueeze(2)
        mean: Tensor = words.sum(dim=1) / kept.sum(dim=1, keepdim=True).clamp(min=1)
        return mean


KINDS = {
    "UniSkip": UniSkip,
    "DropUniSkip": DropUniSkip,
    "BayesianUniSkip": BayesianUniSkip,
    "BiSkip": BiSkip,
    "BiGRU": BiGRU,
    "BagOfWords": BagOfWords,
}


def build_skipthoughts(
    kind: str,
    directory: str | Path | None = None,
    words: Sequence[str] = (),
    dropout: float = 0.25,
    fixed_embedding: bool = False,
    word_dim: int = 620,
    hidden_dim: int = 2400,
) -> SentenceEncoder | FrozenSentences | PretrainedSentences:
    """A sentence encoder for the vocabulary ``words``, whose ids are 1 to len(words); 0 pads.

    With ``directory``, weights and sizes come from the official files in it (`BiGRU` uses those of
    `BiSkip`); without, weights are random, with dimensions ``word_dim`` and ``hidden_dim``.
    ``fixed_embedding`` freezes the word vectors. Words that are not in the files get the vector of
    `UNK` and are listed in ``not_found``. The kind `sentence-transformers` requires ``directory``,
    a model of that package, which determines dimension and dropout; ``fixed_embedding`` freezes all
    of it. Raises UserError for files that are missing or wrong, ValueError for an unknown kind.
    """
    if kind == PRETRAINED:
        if directory is None:
            raise UserError(
                f"model.seq2vec.type: {kind}",
                "cannot be initialised at random",
                "set model.seq2vec.pretrained=true and model.seq2vec.dir_st to its folder",
            )
        model = read_sentence_folder(directory)
        return FrozenSentences(model) if fixed_embedding else PretrainedSentences(model)
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join((*KINDS, PRETRAINED))}, got {kind!r}")
    encoder_class = KINDS[kind]
    if encoder_class is BagOfWords and directory is not None:
        raise UserError(
            f"model.seq2vec.type: {kind}",
            "has no skip-thought files",
            "set model.seq2vec.pretrained=false",
        )
    if directory is None:
        encoder = encoder_class(len(words), word_dim, hidden_dim, dropout)
    else:
        files = read_skipthoughts(directory, encoder_class.layout, words)
        encoder = encoder_class(len(words), files.word_dim, files.sentence_dim, dropout)
        encoder.load_files(files)
    encoder.embedding.weight.requires_grad_(not fixed_embedding)
    return encoder


def _reversed(tokens: Tensor, lengths: Tensor) -> Tensor:
    """Each caption's words reversed, with the padding still at the end: (B, T)."""
    position = torch.arange(tokens.shape[1])
    reverse = lengths[:, None] - 1 - position
    source = torch.where(reverse >= 0, reverse, position)
    return tokens.gather(1, source.to(tokens.device))
