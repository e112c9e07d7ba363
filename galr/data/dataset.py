"""Three views of the data and their loaders: training pairs, distinct images, captions.

Nothing here draws from a global random state: a batch is a function of (seed, epoch, items) and
of the data, whoever loads it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from galr.common.errors import UserError
from galr.data.annotations import Annotations
from galr.data.batches import Batch, CaptionBatch, ImageBatch
from galr.data.feature_cache import CachedMaps
from galr.data.image_cache import CachedImages, Images
from galr.data.loading import BatchLoader
from galr.data.sampling import EpochBatches, Key, epoch_draws
from galr.data.transforms import PLACING, place, recolour, rotate_and_crop
from galr.data.vocabulary import RawText, Tokenizer
from galr.local_features.store import LocalFeatures
from galr.options import DatasetOptions

__all__ = [
    "Batch",
    "CaptionBatch",
    "Captions",
    "DistinctImages",
    "ImageBatch",
    "TrainingLoader",
    "TrainingPairs",
    "caption_loader",
    "image_loader",
    "training_loader",
]

logger = logging.getLogger(__name__)

CAPTIONS_A_STEP = 2048
"""Captions are small, and the more are encoded together, the more beginnings they share."""


class TrainingLoader:
    """Batches of training pairs; ``set_epoch`` chooses which epoch the next iteration gives."""

    def __init__(
        self, view: TrainingPairs, batches: EpochBatches, *, workers: int, pin_memory: bool
    ) -> None:
        self._batches = batches
        self._loader = BatchLoader(
            view, batches, workers=workers, pin_memory=pin_memory, persistent=True
        )

    @property
    def pairs(self) -> int:
        """Pairs in an epoch, on all ranks together."""
        return self._batches.pairs

    def set_epoch(self, epoch: int, side_at_step: Callable[[int], int] | None = None) -> None:
        """Order, captions, rotations and crops of the next iteration are those of ``epoch``.

        ``side_at_step`` gives the side of each batch's images; None keeps what was given.
        """
        self._batches.epoch = epoch
        if side_at_step is not None:
            self._batches.side_at_step = side_at_step

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self._batches)

    def __iter__(self) -> Iterator[Batch]:
        return iter(self._loader)


def training_loader(
    annotations: Annotations,
    tokenizer: Tokenizer,
    images: Images,
    local: LocalFeatures | None,
    options: DatasetOptions,
    *,
    seed: int,
    rank: int = 0,
    world_size: int = 1,
    pin_memory: bool = False,
) -> TrainingLoader:
    """Training pairs: images turned and cut, in an order of the epoch.

    ``images`` (of ``resize_size``; maps stay as they are) and ``local`` are those of
    ``annotations.images``.
    ``batch_size`` counts the pairs on all ranks. Raises UserError where there are too few pairs
    for a batch.
    """
    _check_aligned(annotations, images, local)
    captions = Captions(annotations, tokenizer, options.max_words)
    pairs = TrainingPairs(captions, images, local, options, seed)
    least = max(2, world_size)
    if options.batch_size < least:
        raise UserError(
            "dataset.batch_size",
            f"{options.batch_size} pairs on {world_size} ranks leave nothing to compare with",
            f"set it to at least {least}",
        )
    if len(pairs) < least:
        raise UserError(
            f"{options.data_path} ({annotations.split})",
            f"{len(pairs)} training pairs are too few for a batch of {least}",
            "give more data, or lower k_fold.validation_share",
        )
    batches = EpochBatches(
        len(pairs),
        options.batch_size,
        seed,
        side_at_step=lambda _: options.sides[0],
        rank=rank,
        world_size=world_size,
    )
    return TrainingLoader(pairs, batches, workers=options.workers, pin_memory=pin_memory)


def image_loader(
    images: Images,
    local: LocalFeatures | None,
    options: DatasetOptions,
    *,
    indices: Sequence[int] | None = None,
    pin_memory: bool = False,
) -> Iterable[ImageBatch]:
    """Each image once, in order; ``indices`` chooses some. Images are of ``image_size``."""
    chosen = range(len(images)) if indices is None else indices
    size = options.batch_size_val
    batches = [list(chosen[i : i + size]) for i in range(0, len(chosen), size)]
    # reading a cache is one copy; only decoding is worth processes of its own
    workers = 0 if isinstance(images, CachedImages | CachedMaps) else options.workers
    view = DistinctImages(images, local)
    return BatchLoader(view, batches, workers=workers, pin_memory=pin_memory)


def caption_loader(
    annotations: Annotations,
    tokenizer: Tokenizer,
    options: DatasetOptions,
    *,
    indices: Sequence[int] | None = None,
) -> list[CaptionBatch]:
    """Each caption once, ordered by length so that little is padding.

    Captions with the same tokens are one row of one batch. ``indices`` chooses some captions.
    Batches hold CAPTIONS_A_STEP of them, or ``batch_size_val`` where that is more.
    """
    captions = Captions(annotations, tokenizer, options.max_words)
    chosen = range(len(captions.tokens)) if indices is None else indices
    places: dict[bytes, list[int]] = {}
    for index in chosen:
        places.setdefault(captions.tokens[index].tobytes(), []).append(index)
    distinct = sorted(places.values(), key=lambda same: len(captions.tokens[same[0]]))
    size = max(options.batch_size_val, CAPTIONS_A_STEP)
    return [_caption_batch(captions, distinct[i : i + size]) for i in range(0, len(distinct), size)]


class Captions:
    """The captions of ``annotations`` as ids, at most ``max_words`` each; raw text is not cut."""

    def __init__(self, annotations: Annotations, tokenizer: Tokenizer, max_words: int) -> None:
        self.caption_to_image = annotations.caption_to_image
        self.group = annotations.caption_group
        self.tokens: list[NDArray[np.int64]] = []
        if isinstance(tokenizer, RawText):
            self.tokens = [np.array(tokenizer.encode(text)) for text in annotations.captions]
            return
        cut = wordless = 0
        for caption in annotations.captions:
            ids = tokenizer.encode(caption)
            if not ids:
                # a lone full stop, of which RSICD has some, is read as one unknown word
                wordless += 1
                ids = [tokenizer.unknown]
            cut += len(ids) > max_words
            self.tokens.append(np.array(ids[:max_words], dtype=np.int64))
        if wordless:
            logger.info(
                "%s captions: %d have no words and are read as <unk>", annotations.split, wordless
            )
        if cut:
            logger.info(
                "%s captions: %d of %d are longer than dataset.max_words = %d and were cut",
                annotations.split,
                cut,
                len(self.tokens),
                max_words,
            )

    def padded(self, indices: Sequence[int] | NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Tokens (B, T), padded with 0 to the longest, and lengths (B,)."""
        rows = [self.tokens[index] for index in indices]
        lengths = torch.tensor([len(row) for row in rows], dtype=torch.int64)
        tokens = torch.zeros(len(rows), int(lengths.max()), dtype=torch.int64)
        for target, row in zip(tokens, rows, strict=True):
            target[: len(row)] = torch.from_numpy(row)
        return tokens, lengths


class TrainingPairs:
    """Batches of pairs for their keys.

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
        self.captions, self.images, self.local, self.seed = captions, images, local, seed
        self.options = options
        self.captions_of: list[NDArray[np.int64]] | None = None
        if options.sampling == "images":
            by_image = np.argsort(captions.caption_to_image, kind="stable")
            counts = np.bincount(captions.caption_to_image, minlength=len(images))
            self.captions_of = np.split(by_image, np.cumsum(counts)[:-1])
        self._epoch, self._draws = -1, np.empty((0, 0))

    def __len__(self) -> int:
        return len(self.captions.tokens if self.captions_of is None else self.captions_of)

    def batch(self, keys: Sequence[Key]) -> Batch:
        """The pairs that ``keys`` name, all of one epoch and side."""
        epoch, _, side = keys[0]
        if epoch != self._epoch:
            self._epoch, self._draws = epoch, epoch_draws(self.seed, epoch, len(self))
        items = [key.item for key in keys]
        draws = self._draws[items]
        chosen = np.array(
            [self._draw_captions(*pair) for pair in zip(items, draws[:, 0], strict=True)]
        )  # (B, M)
        image_index = self.captions.caption_to_image[chosen[:, 0]]
        captions = chosen.reshape(-1)
        return Batch(
            self._views(image_index, draws[:, 1:], side),
            *_local_rows(self.local, image_index),
            *self.captions.padded(captions),
            torch.from_numpy(image_index),
            torch.from_numpy(self.captions.group[captions]),
        )

    def _views(
        self, image_index: NDArray[np.int64], draws: NDArray[np.float64], side: int
    ) -> Tensor:
        if isinstance(self.images, CachedMaps):
            return self.images.batch(image_index)
        return random_views(self.images, image_index, draws, side, self.options)

    def _draw_captions(self, item: int, draw: float) -> list[int]:
        """One caption, or as many neighbours in the image's list; few captions come again."""
        if self.captions_of is None:
            return [item]
        captions = self.captions_of[item]
        first, count = int(draw * len(captions)), self.options.captions_per_image
        return [int(captions[(first + i) % len(captions)]) for i in range(count)]


def random_views(
    images: Images,
    indices: Sequence[int] | NDArray[np.int64],
    draws: NDArray[np.float64],
    side: int,
    options: DatasetOptions,
) -> Tensor:
    """The images at ``indices``, turned, cut and coloured by ``draws`` -> (B, 3, S, S) uint8.

    draws (B, PLACING + COLOURING): uniform numbers in [0, 1).
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


class DistinctImages:
    """Batches of images for their indices."""

    def __init__(self, images: Images, local: LocalFeatures | None) -> None:
        self.images, self.local = images, local

    def batch(self, keys: Sequence[int]) -> ImageBatch:
        """The images at ``keys``."""
        image_index = np.array(keys, dtype=np.int64)
        return ImageBatch(
            self._views(image_index),
            *_local_rows(self.local, image_index),
            torch.from_numpy(image_index),
        )

    def _views(self, image_index: NDArray[np.int64]) -> Tensor:
        if isinstance(self.images, CachedMaps):
            return self.images.batch(image_index)
        return _channels_first(np.stack([self.images[index] for index in image_index]))


def _channels_first(pixels: NDArray[np.uint8]) -> Tensor:
    """(B, S, S, 3) -> (B, 3, S, S), the same memory."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def _local_rows(
    local: LocalFeatures | None, image_index: NDArray[np.int64]
) -> tuple[Tensor | None, Tensor | None]:
    if local is None:
        return None, None
    return (
        torch.from_numpy(local.representation[image_index]),
        torch.from_numpy(local.adjacency[image_index]),
    )


def _caption_batch(captions: Captions, distinct: list[list[int]]) -> CaptionBatch:
    tokens, lengths = captions.padded([same[0] for same in distinct])
    rows = [row for row, same in enumerate(distinct) for _ in same]
    caption_index = [index for same in distinct for index in same]
    return CaptionBatch(tokens, lengths, torch.tensor(rows), torch.tensor(caption_index))


def _check_aligned(annotations: Annotations, images: Images, local: LocalFeatures | None) -> None:
    counts = {len(annotations.images), len(images)}
    if local is not None:
        counts.add(len(local.representation))
    if len(counts) > 1:
        raise ValueError(
            f"annotations, images and local features must be of the same images, got {counts}"
        )
