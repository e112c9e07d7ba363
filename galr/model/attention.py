"""The attention blocks of MIDF, over sequences of one item (Yu et al. 2019, MCAN)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Norm(nn.Module):
    """scale * (x - mean) / (deviation + 1e-6) + shift, over the D entries of a feature."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))
        self.shift = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, D) -> (B, D)."""
        # the unbiased deviation, unlike nn.LayerNorm: released checkpoints were trained with it
        deviation, mean = torch.std_mean(x, dim=-1, keepdim=True)
        return self.scale * (x - mean) / (deviation + 1e-6) + self.shift


class Attention(nn.Module):
    """Multi-head attention to a single item y: merge(W_v y).

    A softmax over one item is always 1, so query and key are never computed. In training, dropout
    on that 1 drops whole heads.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.value = nn.Linear(width, width)
        self.merge = nn.Linear(width, width)
        # kept so that released checkpoints pass through unchanged; their gradient is zero there,
        # too, and frozen weights are ignored by optimisers and data-parallel training
        self.query = nn.Linear(width, width).requires_grad_(False)
        self.key = nn.Linear(width, width).requires_grad_(False)
        self.dropout = nn.Dropout1d(dropout)

    def forward(self, source: Tensor) -> Tensor:
        """source y (B, D) -> (B, D)."""
        values = self.value(source).unflatten(1, (self.heads, -1))  # (B, heads, D / heads)
        merged: Tensor = self.merge(self.dropout(values).flatten(1))  # (B, D)
        return merged


class SelfAttention(nn.Module):
    """x1 = norm(x + attention(x)), then norm(x1 + feed_forward(x1))."""

    def __init__(self, width: int, heads: int, inner_width: int, dropout: float) -> None:
        super().__init__()
        self.attention = Attention(width, heads, dropout)
        self.norm1 = Norm(width)
        self.feed_forward = _feed_forward(width, inner_width, dropout)
        self.norm2 = Norm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D) -> (B, D)."""
        x = self.norm1(x + self.dropout(self.attention(x)))
        x = self.norm2(x + self.dropout(self.feed_forward(x)))
        return x


class GuidedAttention(nn.Module):
    """Self-attention of x, attention of x to a guide y, then the feed-forward layer."""

    def __init__(self, width: int, heads: int, inner_width: int, dropout: float) -> None:
        super().__init__()
        self.attention = Attention(width, heads, dropout)
        self.norm1 = Norm(width)
        self.guidance = Attention(width, heads, dropout)
        self.norm2 = Norm(width)
        self.feed_forward = _feed_forward(width, inner_width, dropout)
        self.norm3 = Norm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        """x (B, D), guide (B, D) -> (B, D)."""
        x = self.norm1(x + self.dropout(self.attention(x)))
        x = self.norm2(x + self.dropout(self.guidance(guide)))
        x = self.norm3(x + self.dropout(self.feed_forward(x)))
        return x


def _feed_forward(width: int, inner_width: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width, inner_width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(inner_width, width)
    )
