"""Embeddings of length 1."""

from __future__ import annotations

import torch
from torch import Tensor


def l2_normalise(x: Tensor) -> Tensor:
    """x (B, D) divided by its rows' Euclidean lengths; a row of zeros stays so."""
    # 1e-8 is added after the root, as in the released code
    length: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x / (length + 1e-8)
