"""The text branch: a caption's sentence vector, projected into the common space."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from galr.model.pretrained_sentences import PretrainedSentences


class TextEncoder(nn.Module):
    """relu(W s + b), s the sentence vector (``skipthoughts.SentenceEncoder``); or W s + b."""

    def __init__(
        self, sentence_encoder: nn.Module, sentence_dim: int, embed_dim: int, relu: bool = True
    ) -> None:
        super().__init__()
        self.sentence_encoder = sentence_encoder
        self.embed_dim = embed_dim
        self.relu = relu
        # of models of other packages, such as the pooler of a BERT
        self.may_leave_weights_unused = isinstance(sentence_encoder, PretrainedSentences)
        self.projection = nn.Linear(sentence_dim, embed_dim)

    def forward(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """tokens (B, T) int64 padded with 0, lengths (B,) -> (B, D)."""
        sentence = self.sentence_encoder(tokens, lengths)  # (B, sentence_dim)
        feature: Tensor = self.projection(sentence)
        return torch.relu(feature) if self.relu else feature
