"""Datasets of training pairs, of images and of their views: keys -> batches.

As with torch's
``batch_size=None``, an index of a dataset is that of a whole batch. Nothing is drawn from a global
random state: a batch is a function of the seed, the epoch and the items, whoever loads it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from galr.data.batches import Batch, ImageBatch
from galr.data.captions import Captions
from galr.data.feature_cache import CachedFeatures, Views
from galr.data.image_cache import Images
from galr.data.sampling import Key, epoch_draws
from galr.data.transforms import PLACING, place, recolour, rotate_and_crop
from galr.local_features.moving import Movement, moved_objects
from galr.local_features.store import LocalFeatures
from galr.options import DatasetOptions

Indices = Sequence[int] | NDArray[np.int64]


class PairDataset(Dataset[Batch]):
    """Training pairs by their keys.

    An item is a caption with its image or, with ``sampling: images``, an image with M =
    ``captions_per_image`` of its captions drawn.
    """

    def __init__(
        self,
        captions: Captions,
        images: Images,
        local: LocalFeatures | None,
        options: DatasetOptions,
        seed: int,
    ) -> None:
        self.captions, self.images, self.local = captions, images, local
        self.options, self.seed = options, seed
        self.captions_of: list[NDArray[np.int64]] | None = None
        if options.sampling == "images":
            by_image = np.argsort(captions.caption_to_image, kind="stable")
            counts = np.bincount(captions.caption_to_image, minlength=len(images))
            self.captions_of = np.split(by_image, np.cumsum(counts)[:-1])
        self._epoch, self._draws = -1, np.empty((0, 0))

    def __len__(self) -> int:
        """The items of an epoch."""
        return len(self.captions.tokens if self.captions_of is None else self.captions_of)

    def __getitem__(self, keys: Sequence[Key]) -> Batch:
        """The batch of the pairs that ``keys`` name, all of one epoch and side."""
        epoch, _, side = keys[0]
        if epoch != self._epoch:
            self._epoch, self._draws = epoch, epoch_draws(self.seed, epoch, len(self))
        items = np.array([key.item for key in keys])
        draws = self._draws[items]
        captions = self._captions(items, draws[:, 0])  # (B, M)
        image_index = self.captions.caption_to_image[captions[:, 0]]
        captions = captions.reshape(-1)
        if isinstance(self.images, CachedFeatures):
            images = self.images.batch(image_index, draws[:, 1])
        else:
            images = random_views(self.images, image_index, draws[:, 1:], side, self.options)
        local = _local_rows(self.local, image_index)
        if self.options.augment.move_objects and local[0] is not None:
            local = self._moved(local[0], draws[:, 1:], side)
        return Batch(
            images,
            *local,
            *self.captions.padded(captions),
            torch.from_numpy(image_index),
            torch.from_numpy(self.captions.group[captions]),
        )

    def _moved(
        self, representation: Tensor, draws: NDArray[np.float64], side: int
    ) -> tuple[Tensor, Tensor]:
        """The objects in the views that ``draws`` chose."""
        options, rows = self.options, representation.numpy()
        if isinstance(self.images, CachedFeatures):
            movement = Movement.still(len(rows))._replace(symmetry=self.images.views(draws[:, 0]))
        else:
            resized = options.resize_size
            placements = [
                place(draw[:PLACING], resized, side, options.rotation_degrees, options.augment)
                for draw in draws
            ]
            angle, left, top, window, symmetry = np.array(placements).T
            movement = Movement(
                angle, left / resized, top / resized, window / resized, symmetry.astype(np.int64)
            )
        moved = moved_objects(rows, movement, options.drea)
        return torch.from_numpy(moved[0]), torch.from_numpy(moved[1])

    def _captions(self, items: NDArray[np.int64], draws: NDArray[np.float64]) -> NDArray[np.int64]:
        """(B, M): M neighbours in the image's list from a drawn one on; few captions recur."""
        if self.captions_of is None:
            return items[:, None]
        neighbours = np.arange(self.options.captions_per_image)
        own = [self.captions_of[item] for item in items]
        return np.stack(
            [
                captions[(int(draw * len(captions)) + neighbours) % len(captions)]
                for captions, draw in zip(own, draws, strict=True)
            ]
        )


class ImageDataset(Dataset[ImageBatch]):
    """Images as they are, by lists of their indices."""

    def __init__(self, images: Images, local: LocalFeatures | None) -> None:
        self.images, self.local = images, local

    def __getitem__(self, indices: Indices) -> ImageBatch:
        image_index = np.array(indices, dtype=np.int64)
        if isinstance(self.images, CachedFeatures):
            images = self.images.batch(image_index)
        else:
            images = _channels_first(np.stack([self.images[index] for index in image_index]))
        return ImageBatch(
            images, *_local_rows(self.local, image_index), torch.from_numpy(image_index)
        )


class ViewDataset(Dataset[Tensor]):
    """All views of images, by lists of their indices: (B V, 3, S, S) uint8."""

    def __init__(self, views: Views) -> None:
        self.views = views

    def __getitem__(self, indices: Indices) -> Tensor:
        return _channels_first(np.concatenate([self.views(index) for index in indices]))


def random_views(
    images: Images,
    indices: Indices,
    draws: NDArray[np.float64],
    side: int,
    options: DatasetOptions,
) -> Tensor:
    """The images at ``indices`` rotated, cropped and recoloured -> (B, 3, S, S) uint8.

    draws (B, PLACING + COLOURING): uniform numbers in [0, 1), which say how.
    """
    augment = options.augment
    pixels = np.empty((len(indices), side, side, 3), dtype=np.uint8)
    for out, index, draw in zip(pixels, indices, draws, strict=True):
        image = images[index]
        placement = place(draw[:PLACING], image.shape[0], side, options.rotation_degrees, augment)
        rotate_and_crop(image, placement, out)
        if augment.colour > 0:
            recolour(out, draw[PLACING:], augment.colour)
    return _channels_first(pixels)


def _channels_first(pixels: NDArray[np.uint8]) -> Tensor:
    """(B, S, S, 3) -> (B, 3, S, S), the same memory."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def _local_rows(
    local: LocalFeatures | None, image_index: NDArray[np.int64]
) -> tuple[Tensor | None, Tensor | None]:
    if local is None:
        return None, None
    rows = local.representation[image_index], local.adjacency[image_index]
    return torch.from_numpy(rows[0]), torch.from_numpy(rows[1])
