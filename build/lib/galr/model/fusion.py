"""What stands in MIDF's place in the ablations."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Addition(nn.Module):
    """The sum of both branches."""

    def forward(self, global_feature: Tensor, local_feature: Tensor) -> Tensor:
        """global_feature (B, D), local_feature (B, D) -> (B, D)."""
        return global_feature + local_feature


class Concatenation(nn.Module):
    """Both branches side by side, projected."""

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.projection = nn.Linear(2 * embed_dim, embed_dim)

    def forward(self, global_feature: Tensor, local_feature: Tensor) -> Tensor:
        """global_feature (B, D), local_feature (B, D) -> (B, D)."""
        visual: Tensor = self.projection(torch.cat([global_feature, local_feature], dim=1))
        return visual


class GlobalAlone(nn.Module):
    """The global feature, where there is no local branch."""

    def forward(self, global_feature: Tensor, local_feature: None) -> Tensor:
        """global_feature (B, D) -> (B, D)."""
        return global_feature
