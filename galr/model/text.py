"""The text branch: a caption's sentence vector, projected into the joint space."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from galr.encoders.open_clip_towers import ClipSentences
from galr.encoders.pretrained_sentences import FrozenSentences, PretrainedSentences
from galr.model.mvsa import prepared


class TextEncoder(nn.Module):
    """relu(W s + b), W s + b, or s itself: s the vector of ``skipthoughts.SentenceEncoder``."""

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
        """Trainable weights of other packages' models; some, such as a pooler, may be unused."""
        kinds = PretrainedSentences | ClipSentences
        return [each for each in self.modules() if isinstance(each, kinds)]

    def prepare(self, captions: Sequence[str]) -> None:
        """Encodes ``captions`` with the frozen parts once, for all later batches."""
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
