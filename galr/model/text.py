"""The text branch: a caption's sentence vector, projected into the common space."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from galr.model.mvsa import prepared
from galr.model.open_clip_towers import ClipSentences
from galr.model.pretrained_sentences import FrozenSentences, PretrainedSentences


class TextEncoder(nn.Module):
    """relu(W s + b), s the sentence vector (``skipthoughts.SentenceEncoder``); or W s + b, or s."""

    def __init__(
        self,
        sentence_encoder: nn.Module,
        sentence_dim: int,
        embed_dim: int,
        relu: bool = True,
        projected: bool = True,
        standardise: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.sentence_encoder = sentence_encoder
        self.embed_dim = embed_dim
        self.relu = relu
        self.prepared = prepared(sentence_dim, standardise, dropout)
        self.projection = nn.Linear(sentence_dim, embed_dim) if projected else nn.Identity()

    @property
    def pretrained(self) -> list[nn.Module]:
        """What is trained of models of other packages; some, as a pooler, may never be used."""
        kinds = PretrainedSentences | ClipSentences
        return [each for each in self.modules() if isinstance(each, kinds)]

    def prepare(self, captions: Sequence[str]) -> None:
        """Encodes ``captions`` by the frozen parts, once, for all batches that hold them."""
        for module in self.modules():
            if isinstance(module, FrozenSentences | ClipSentences):
                module.prepare(captions)

    def forward(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """tokens (B, T) int64 padded with 0, lengths (B,) -> (B, D)."""
        sentence = self.sentence_encoder(tokens, lengths)  # (B, sentence_dim)
        if isinstance(self.projection, nn.Linear):
            sentence = sentence.to(self.projection.weight.dtype)  # of frozen vectors
        feature: Tensor = self.projection(self.prepared(sentence))
        return torch.relu(feature) if self.relu else feature
