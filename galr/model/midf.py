"""MIDF: fuses global and local feature into the visual feature; and its ablations."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from galr.model.attention import GuidedAttention, SelfAttention


class MIDF(nn.Module):
    """Multi-level information dynamic fusion (paper, section on fusion).

    Each branch attends to itself, then local to global and global to the result; the local branch
    then gates the global one:

    g = SA(global), l = SA(local), l' = SGA(l, g), g' = SGA(g, l')
    G = sigmoid(l') * g', L = g' + l'
    (w_g, w_l) = softmax(W2 sigmoid(W1 (G + L)))
    v = w_g G + w_l L; with ``gate`` `released`, v = w_g G + w_g L.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        inner_width: int,
        dropout: float,
        weight_width: int,
        weight_dropout: float,
        gate: Literal["paper", "released"],
    ) -> None:
        """``inner_width`` of the feed-forward layers, ``weight_width`` of W1."""
        super().__init__()
        self.global_self = SelfAttention(width, heads, inner_width, dropout)
        self.local_self = SelfAttention(width, heads, inner_width, dropout)
        self.global_to_local = GuidedAttention(width, heads, inner_width, dropout)
        self.local_to_global = GuidedAttention(width, heads, inner_width, dropout)
        self.dynamic_weight = nn.Sequential(
            nn.Linear(width, weight_width),
            nn.Sigmoid(),
            nn.Dropout(weight_dropout),
            nn.Linear(weight_width, 2),
            nn.Softmax(dim=-1),
        )
        # the released code uses the first weight for both branches, and so do its checkpoints
        self.local_column = 0 if gate == "released" else 1

    def forward(self, global_feature: Tensor, local_feature: Tensor) -> Tensor:
        """global_feature (B, D), local_feature (B, D) -> (B, D)."""
        attended_global = self.global_self(global_feature)
        attended_local = self.local_self(local_feature)
        guided_local = self.global_to_local(attended_local, attended_global)
        guided_global = self.local_to_global(attended_global, guided_local)
        gated_global = torch.sigmoid(guided_local) * guided_global
        mixed_local = guided_global + guided_local
        weights = self.dynamic_weight(gated_global + mixed_local)  # (B, 2)
        global_weight, local_weight = weights[:, [0]], weights[:, [self.local_column]]  # (B, 1)
        visual: Tensor = global_weight * gated_global + local_weight * mixed_local
        return visual


class Addition(nn.Module):
    """The sum of both branches."""

    def forward(self, global_feature: Tensor, local_feature: Tensor) -> Tensor:
        """global_feature (B, D), local_feature (B, D) -> (B, D)."""
        return global_feature + local_feature


class Concatenation(nn.Module):
    """Both branches concatenated and projected."""

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.projection = nn.Linear(2 * embed_dim, embed_dim)

    def forward(self, global_feature: Tensor, local_feature: Tensor) -> Tensor:
        """global_feature (B, D), local_feature (B, D) -> (B, D)."""
        visual: Tensor = self.projection(torch.cat([global_feature, local_feature], dim=1))
        return visual


class GlobalAlone(nn.Module):
    """The global feature, if there is no local branch."""

    def forward(self, global_feature: Tensor, local_feature: None) -> Tensor:
        """global_feature (B, D) -> (B, D)."""
        return global_feature
