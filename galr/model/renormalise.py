"""Images that were normalised by ImageNet's numbers, normalised by others."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from galr.data.transforms import IMAGENET_MEAN, IMAGENET_STD


class Renormalise(nn.Module):
    """(value - mean) / deviation of ImageNet -> of ``mean`` and ``deviation``."""

    def __init__(self, mean: Sequence[float], deviation: Sequence[float]) -> None:
        """Without an effect where both are ImageNet's."""
        super().__init__()
        ours = list(zip(IMAGENET_MEAN, IMAGENET_STD, mean, deviation, strict=True))
        # plain numbers: a buffer would stand in every checkpoint
        self.scale = tuple(own_std / std for _, own_std, _, std in ours)
        self.shift = tuple((own_mean - other) / std for own_mean, _, other, std in ours)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, 3, S, S)."""
        if set(self.scale) == {1.0} and not any(self.shift):
            return image
        scale, shift = (image.new_tensor(each)[:, None, None] for each in (self.scale, self.shift))
        return image * scale + shift
