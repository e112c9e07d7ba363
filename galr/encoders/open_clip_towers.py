"""Both towers of a model of the optional package open_clip: ``open_clip:ARCHITECTURE``.

The image tower is a ``Trunk`` whose maps are its embedding, one position wide, and the text tower
reads raw captions by open_clip's own tokeniser, so that everything around them stays what it is:
local branch, MIDF, losses, cached features, re-ranking.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from galr.data.transforms import IMAGENET_MEAN, IMAGENET_STD
from galr.data.vocabulary import RawText
from galr.encoders.kept_sentences import KeptSentences
from galr.encoders.renormalise import Renormalise
from galr.encoders.token_checks import checked_lengths
from galr.encoders.trunk import LEVELS, Trunk


class ClipImages(Trunk):
    """The image tower: image (B, 3, S, S), normalised by ImageNet's numbers -> (B, D, 1, 1).

    It stands in for the maps of every level, so that heads and caches need not know of it.
    """

    may_leave_weights_unused = True

    def __init__(self, visual: nn.Module, width: int, side: int) -> None:
        """``visual`` is open_clip's tower, of images of ``side`` and embeddings of ``width``."""
        super().__init__()
        self.visual = visual
        self.renormalise = Renormalise(*normalisation(visual))
        self.channels, self.strides, self.heads = (width,) * LEVELS, (side,) * LEVELS, ()
        blocks = getattr(getattr(visual, "transformer", None), "resblocks", None)
        if blocks is not None:
            last = [(level + 1) * len(blocks) // LEVELS - 1 for level in range(LEVELS)]
            self.stages = tuple(f"transformer.resblocks.{each}" for each in last)
        elif hasattr(visual, "layer4"):
            self.stages = ("layer1", "layer2", "layer3", "layer4")
        else:
            self.stages = ()

    @property
    def net(self) -> nn.Module:
        """open_clip's tower."""
        return self.visual

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """As the class says."""
        embedding = self.visual(self.renormalise(image))
        return (embedding[:, :, None, None],) * LEVELS


class ClipSentences(nn.Module):
    """The text tower over raw captions; frozen, what ``prepare`` was given is encoded once."""

    def __init__(self, tower: nn.Module, tokenizer: Any, width: int, trained: bool) -> None:  # noqa: ANN401
        """``tower`` and ``tokenizer`` are open_clip's; embeddings are of ``width``."""
        super().__init__()
        self.tower, self.tokenizer = tower, tokenizer
        self.sentence_dim, self.trained = width, trained
        self._kept = KeptSentences(self._vectors)
        tower.requires_grad_(trained)
        self.train()

    def train(self, mode: bool = True) -> ClipSentences:
        """A frozen tower stays in evaluation mode."""
        super().train(mode and self.trained)
        return self

    def prepare(self, captions: Iterable[str]) -> None:
        """Encodes the ``captions`` by a frozen tower, each distinct one once, and keeps them."""
        if not self.trained:
            self._kept.add({text.encode() for text in captions}, self._device)

    def forward(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Ids of ``RawText`` (B, T) padded with 0, lengths (B,) -> (B, D)."""
        lengths = checked_lengths(tokens, lengths, RawText.ids)
        texts = RawText.bytes_of(tokens, lengths)
        if not texts:
            return torch.empty(0, self.sentence_dim, device=tokens.device)
        if not self.trained:
            return self._kept.vectors(texts, self.sentence_dim, tokens.device)
        return self._vectors([text.decode() for text in texts], tokens.device)

    @property
    def _device(self) -> torch.device:
        return next(self.parameters()).device

    def _vectors(self, captions: list[str], device: torch.device) -> Tensor:
        vectors: Tensor = self.tower(self.tokenizer(captions).to(device))
        return vectors


def normalisation(visual: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of the images that ``visual`` was trained with."""
    mean = getattr(visual, "image_mean", None) or IMAGENET_MEAN
    deviation = getattr(visual, "image_std", None) or IMAGENET_STD
    return tuple(map(float, mean)), tuple(map(float, deviation))
