"""What a loader yields: a batch of pairs, of images or of captions, as tensors."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import torch
from torch import Tensor


class Batch(NamedTuple):
    """Pairs of an image and a caption, or images with M captions each: rows i M to i M + M - 1."""

    # (B, 3, S, S) uint8 in channels_last memory, for transforms.normalise; or (B, L) float16, the
    # cached features of a frozen backbone
    images: Tensor
    representation: Tensor | None  # (B, N, F)
    adjacency: Tensor | None  # (B, N, N)
    tokens: Tensor  # (B M, T) int64, 0 pads
    lengths: Tensor  # (B M,) int64
    image_index: Tensor  # (B,) int64, into the annotations' images
    caption_group: Tensor  # (B M,) int64, equal where two captions have the same text

    @property
    def captions_per_image(self) -> int:
        """M."""
        return len(self.tokens) // len(self.image_index)

    def to(self, device: torch.device | str) -> Batch:
        """The batch on ``device``."""
        return _moved(self, device)


class ImageBatch(NamedTuple):
    """Distinct images."""

    images: Tensor  # as in Batch
    representation: Tensor | None  # (B, N, F)
    adjacency: Tensor | None  # (B, N, N)
    image_index: Tensor  # (B,) int64

    def to(self, device: torch.device | str) -> ImageBatch:
        """The batch on ``device``."""
        return _moved(self, device)


class CaptionBatch(NamedTuple):
    """U distinct token sequences, and the M captions that they encode."""

    tokens: Tensor  # (U, T) int64, 0 pads
    lengths: Tensor  # (U,) int64
    rows: Tensor  # (M,) int64: the sequence of each caption
    caption_index: Tensor  # (M,) int64, into the annotations' captions

    def to(self, device: torch.device | str) -> CaptionBatch:
        """The batch on ``device``."""
        return _moved(self, device)


AnyBatch = TypeVar("AnyBatch", Batch, ImageBatch, CaptionBatch)


def _moved(batch: AnyBatch, device: torch.device | str) -> AnyBatch:
    parts = batch._asdict().items()
    moved = {name: part.to(device, non_blocking=True) for name, part in parts if part is not None}
    return batch._replace(**moved)
