"""The losses over the similarities of a batch, row i and column i of which are a true pair."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, softplus

from galr.options import OptimOptions

# the softmax of CLIP learns its scale, between these
SMALLEST_SCALE, LARGEST_SCALE = 1.0, 100.0


class Criterion(nn.Module):
    """``optim.loss`` over the similarities of a batch.

    InfoNCE learns the scale of its softmax, 1 / temperature; the others have no parameters.
    """

    def __init__(self, options: OptimOptions) -> None:
        super().__init__()
        self.options = options
        if options.loss == "infonce":
            self.log_scale = nn.Parameter(torch.tensor(-math.log(options.temperature)))

    @property
    def scale(self) -> Tensor:
        """1 / temperature of InfoNCE."""
        return self.log_scale.exp()

    @torch.no_grad()
    def clamp(self) -> None:
        """Clamps the learned temperature to its limits."""
        if self.options.loss == "infonce":
            self.log_scale.clamp_(math.log(SMALLEST_SCALE), math.log(LARGEST_SCALE))

    def forward(self, similarity: Tensor, image_index: Tensor, caption_group: Tensor) -> Tensor:
        """Similarities (B, B) of images and their captions -> scalar.

        image_index (B,): equal numbers are the same image; caption_group (B,): equal numbers are
        the same text.
        """
        options = self.options
        ignore, positive = self._masks(image_index, caption_group)
        if options.loss == "infonce":
            return infonce_loss(similarity, self.scale, ignore, positive)
        hardest = options.max_violation or options.loss == "hard_triplet"
        if options.loss == "soft_triplet":
            return soft_triplet_loss(similarity, options.sharpness, hardest, ignore)
        return triplet_loss(similarity, options.margin, hardest, ignore)

    def _masks(
        self, image_index: Tensor, caption_group: Tensor
    ) -> tuple[Tensor | None, Tensor | None]:
        """Which pairs of the batch are not negatives, and which are additional positives."""
        alike: dict[Literal["ignore", "positive"], Tensor] = {}
        for choice, keys in (
            (self.options.same_image, image_index),
            (self.options.same_caption, caption_group),
        ):
            if choice != "negative":
                pairs = keys[:, None] == keys[None, :]
                alike[choice] = alike[choice] | pairs if choice in alike else pairs
        return alike.get("ignore"), alike.get("positive")


def triplet_loss(
    similarity: Tensor,
    margin: float = 0.2,
    max_violation: bool = False,
    ignore: Tensor | None = None,
) -> Tensor:
    """Sum over both directions of max(0, margin + s(negative) - s(positive)) (paper, objective).

    similarity (B, B) -> scalar, summed over the batch. ``max_violation`` counts the hardest
    negative of each query only (VSE++, eq. 6), otherwise all do. ``ignore`` (B, B) bool marks
    pairs that are not negatives. Other shapes raise ValueError.
    """
    no_negative = _true_pairs(similarity) | _mask(ignore, similarity)

    def one_direction(rows: Tensor, no_negative: Tensor) -> Tensor:
        cost = (margin + rows - _own(rows)).clamp(min=0).masked_fill(no_negative, 0)
        return _reduced(cost, max_violation)

    return one_direction(similarity, no_negative) + one_direction(similarity.T, no_negative.T)


def soft_triplet_loss(
    similarity: Tensor,
    sharpness: float = 10.0,
    max_violation: bool = False,
    ignore: Tensor | None = None,
) -> Tensor:
    """The triplet loss with a soft margin: log(1 + exp(g (s(negative) - s(positive)))) / g.

    g is ``sharpness``; the division makes a far violation cost what it does in ``triplet_loss``
    (Hermans et al. 2017). Arguments and result otherwise as there.
    """
    no_negative = _true_pairs(similarity) | _mask(ignore, similarity)

    def one_direction(rows: Tensor, no_negative: Tensor) -> Tensor:
        cost = softplus(rows - _own(rows), beta=sharpness).masked_fill(no_negative, 0)
        return _reduced(cost, max_violation)

    return one_direction(similarity, no_negative) + one_direction(similarity.T, no_negative.T)


def infonce_loss(
    similarity: Tensor,
    scale: Tensor | float,
    ignore: Tensor | None = None,
    positive: Tensor | None = None,
) -> Tensor:
    """Cross-entropy of softmax(scale s) with the true pairs, the mean of both directions.

    similarity (B, B) -> scalar, summed over the batch (van den Oord et al. 2018). ``positive``
    (B, B) bool marks further true pairs: a query's probability is to be spread evenly over all of
    its own. ``ignore`` (B, B) bool takes other pairs out of the softmax. Other shapes raise
    ValueError.
    """
    true = _true_pairs(similarity) | _mask(positive, similarity)
    left_out = _mask(ignore, similarity) & ~true

    def one_direction(rows: Tensor, true: Tensor, left_out: Tensor) -> Tensor:
        log_probability = log_softmax((scale * rows).masked_fill(left_out, -torch.inf), dim=1)
        of_true = log_probability.masked_fill(~true, 0).sum(dim=1) / true.sum(dim=1)
        return -of_true.sum()

    image_to_text = one_direction(similarity, true, left_out)
    text_to_image = one_direction(similarity.T, true.T, left_out.T)
    return (image_to_text + text_to_image) / 2


def _true_pairs(similarity: Tensor) -> Tensor:
    if similarity.dim() != 2 or similarity.shape[0] != similarity.shape[1]:
        raise ValueError(f"similarity must be (B, B), got {tuple(similarity.shape)}")
    return torch.eye(len(similarity), dtype=torch.bool, device=similarity.device)


def _mask(mask: Tensor | None, similarity: Tensor) -> Tensor:
    if mask is None:
        return torch.zeros_like(similarity, dtype=torch.bool)
    if mask.shape != similarity.shape:
        raise ValueError(
            f"a mask must be {tuple(similarity.shape)} like similarity, got {tuple(mask.shape)}"
        )
    return mask


def _own(rows: Tensor) -> Tensor:
    """The similarity of each query with its own pair, (B, 1)."""
    return rows.diagonal().unsqueeze(1)


def _reduced(cost: Tensor, max_violation: bool) -> Tensor:
    return (cost.amax(dim=1) if max_violation else cost).sum()
