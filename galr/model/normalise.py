"""L2 normalisation."""

from __future__ import annotations

import torch
from torch import Tensor


def l2_normalise(x: Tensor) -> Tensor:
    """x (B, D), each row divided by its Euclidean length; zero rows stay zero."""
    # 1e-8 is added after the root, as in the released code
    length: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x / (length + 1e-8)
