"""The trained model: an encoder, and decoders of the previous and the next sentence."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.nn.utils.rnn import pack_padded_sequence

from galr.model.gru import caption_of_word
from galr.model.skipthoughts import SentenceEncoder

Softmax = Literal["adaptive", "full"]

CUTOFFS = (2000, 10000)
"""Classes of the adaptive softmax by frequency: the head, then clusters of rarer words."""

END_CLASS = 0
"""Class c of the softmax is the dictionary's word c; the first is the end of a sentence."""


class Sentences(NamedTuple):
    """Some sentences: ids (B, T) padded with 0, and their lengths (B,) on the CPU."""

    tokens: Tensor
    lengths: Tensor


class Neighbours(NamedTuple):
    """Neighbouring sentences, and the rows (b,) of the encoded batch they belong to."""

    sentences: Sentences
    rows: Tensor


class Decoder(nn.Module):
    """A GRU that predicts a sentence word by word (Kiros et al. 2015, eqs. 5-8).

    The encoder's vector conditions all gates at every step, together with the previous word.
    """

    def __init__(self, word_dim: int, sentence_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.gru = nn.GRU(word_dim + sentence_dim, hidden_dim)

    def forward(
        self, embedding: nn.Embedding, encoded: Tensor, sentences: Sentences
    ) -> tuple[Tensor, Tensor]:
        """encoded (b, S) and the sentences to predict -> states (N, D), classes (N,).

        N counts words and sentence ends; the padding id, a zero vector, starts a sentence.
        """
        tokens, lengths = sentences.tokens, sentences.lengths + 1
        before = pack_padded_sequence(
            pad(tokens, (1, 0)), lengths, batch_first=True, enforce_sorted=False
        )
        # a word's class is its id minus 1; the id after the last word is that of the end
        after = pad(tokens, (0, 1)).scatter(
            1, sentences.lengths[:, None].to(tokens.device), END_CLASS + 1
        )
        classes = pack_padded_sequence(after, lengths, batch_first=True, enforce_sorted=False)
        context = encoded[before.sorted_indices][caption_of_word(before)]
        words = torch.cat([embedding(before.data), context], dim=1)
        states, _ = self.gru(before._replace(data=words))
        return states.data, classes.data - 1


class FullSoftmax(nn.Module):
    """The cross-entropy over all classes."""

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.projection = nn.Linear(dim, classes)

    def forward(self, states: Tensor, classes: Tensor) -> Tensor:
        """states (N, D), classes (N,) -> the log-probability of each, (N,)."""
        scores = self.projection(states)
        return -nn.functional.cross_entropy(scores, classes, reduction="none")


class AdaptiveSoftmax(nn.Module):
    """The same over clusters by frequency, rarer ones in fewer dimensions (Grave et al. 2017)."""

    def __init__(self, dim: int, classes: int, cutoffs: list[int]) -> None:
        super().__init__()
        self.clusters = nn.AdaptiveLogSoftmaxWithLoss(dim, classes, cutoffs)

    def forward(self, states: Tensor, classes: Tensor) -> Tensor:
        """states (N, D), classes (N,) -> the log-probability of each, (N,)."""
        log_probability: Tensor = self.clusters(states, classes).output
        return log_probability


def word_softmax(kind: Softmax, dim: int, classes: int) -> nn.Module:
    """The softmax of ``kind``; full where no class is beyond the head, or ``dim`` has no quarters.

    Each further cluster is predicted from a quarter of the dimensions.
    """
    cutoffs = [cutoff for cutoff in CUTOFFS if cutoff < classes]
    if kind == "full" or not cutoffs or dim < 4 ** len(cutoffs):
        return FullSoftmax(dim, classes)
    return AdaptiveSoftmax(dim, classes, cutoffs)


class SkipThoughtsModel(nn.Module):
    """Encodes sentences and predicts their neighbours; word vectors and softmax are shared."""

    def __init__(self, encoder: SentenceEncoder, decoder_dim: int, softmax: Softmax) -> None:
        super().__init__()
        self.encoder = encoder
        word_dim = encoder.embedding.embedding_dim
        self.previous = Decoder(word_dim, encoder.sentence_dim, decoder_dim)
        self.following = Decoder(word_dim, encoder.sentence_dim, decoder_dim)
        self.softmax = word_softmax(softmax, decoder_dim, encoder.embedding.num_embeddings - 1)

    def forward(self, sentences: Sentences, previous: Neighbours, following: Neighbours) -> Tensor:
        """The log-probabilities of the words and ends of all neighbours, (N,)."""
        encoded = self.encoder(*sentences)  # (B, S)
        states, classes = [], []
        for decoder, neighbours in ((self.previous, previous), (self.following, following)):
            if len(neighbours.rows):
                decoded = decoder(
                    self.encoder.embedding, encoded[neighbours.rows], neighbours.sentences
                )
                states.append(decoded[0])
                classes.append(decoded[1])
        log_probability: Tensor = self.softmax(torch.cat(states), torch.cat(classes))
        return log_probability
