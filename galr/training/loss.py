"""The loss: a bidirectional triplet loss over the pairs of a batch (paper, objective function)."""

from __future__ import annotations

import torch
from torch import Tensor


def triplet_loss(
    similarity: Tensor,
    margin: float = 0.2,
    max_violation: bool = False,
    ignore: Tensor | None = None,
) -> Tensor:
    """Sum over both directions of max(0, margin + s(negative) - s(positive)).

    similarity (B, B), row i and column i a true pair -> scalar, summed over the batch.
    ``max_violation`` counts the hardest negative of each query alone (VSE++, eq. 6), otherwise all
    do. ``ignore`` (B, B) bool marks pairs that are no negatives. Other shapes raise ValueError.
    """
    if similarity.dim() != 2 or similarity.shape[0] != similarity.shape[1]:
        raise ValueError(f"similarity must be (B, B), got {tuple(similarity.shape)}")
    if ignore is not None and ignore.shape != similarity.shape:
        raise ValueError(
            f"ignore must be {tuple(similarity.shape)} like similarity, got {tuple(ignore.shape)}"
        )
    no_negative = torch.eye(len(similarity), dtype=torch.bool, device=similarity.device)
    if ignore is not None:
        no_negative = no_negative | ignore
    image_to_text = _hinge(similarity, no_negative, margin, max_violation)
    text_to_image = _hinge(similarity.T, no_negative.T, margin, max_violation)
    return image_to_text + text_to_image


def _hinge(similarity: Tensor, no_negative: Tensor, margin: float, max_violation: bool) -> Tensor:
    """One direction: queries along the rows of similarity (B, B) -> scalar."""
    positive = similarity.diagonal().unsqueeze(1)  # (B, 1)
    cost = (margin + similarity - positive).clamp(min=0).masked_fill(no_negative, 0)
    return (cost.amax(dim=1) if max_violation else cost).sum()
