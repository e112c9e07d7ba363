"""The loss that the options name, with what it learns of its own."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from galr.options import OptimOptions
from galr.training.loss import infonce_loss, soft_triplet_loss, triplet_loss

# the softmax of CLIP learns its scale, between these
SMALLEST_SCALE, LARGEST_SCALE = 1.0, 100.0


class Criterion(nn.Module):
    """``optim.loss`` over the embeddings of a batch.

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
        """Puts what a step has learned back within its limits."""
        if self.options.loss == "infonce":
            self.log_scale.clamp_(math.log(SMALLEST_SCALE), math.log(LARGEST_SCALE))

    def forward(
        self, images: Tensor, captions: Tensor, image_index: Tensor, caption_group: Tensor
    ) -> Tensor:
        """Embeddings (B, D) of images and of their captions -> scalar.

        image_index (B,): equal numbers are the same image; caption_group (B,): equal numbers are
        the same text.
        """
        options = self.options
        similarity = images @ captions.T  # (B, B)
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
        """Which pairs of the batch are no negatives, and which are further true pairs."""
        alike: dict[Literal["ignore", "positive"], Tensor] = {}
        for choice, keys in (
            (self.options.same_image, image_index),
            (self.options.same_caption, caption_group),
        ):
            if choice != "negative":
                pairs = keys[:, None] == keys[None, :]
                alike[choice] = alike[choice] | pairs if choice in alike else pairs
        return alike.get("ignore"), alike.get("positive")
