"""Loaders of training pairs, of images and of their views."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from galr.common.errors import UserError
from galr.data.annotations import Annotations
from galr.data.batches import Batch, ImageBatch
from galr.data.captions import Captions
from galr.data.dataset import ImageDataset, PairDataset, ViewDataset
from galr.data.feature_cache import CachedFeatures, Views
from galr.data.image_cache import CachedImages, Images
from galr.data.loading import BatchLoader
from galr.data.sampling import EpochBatches
from galr.data.vocabulary import Tokenizer
from galr.local_features.store import LocalFeatures
from galr.options import DatasetOptions


class TrainingLoader(BatchLoader[Batch]):
    """Batches of training pairs; ``sampler.set_epoch`` chooses the epoch of the next iteration."""

    sampler: EpochBatches


def training_loader(
    annotations: Annotations,
    tokenizer: Tokenizer,
    images: Images,
    local: LocalFeatures | None,
    options: DatasetOptions,
    *,
    seed: int,
    done: Callable[[int, float], float] | None = None,
    rank: int = 0,
    world_size: int = 1,
    pin_memory: bool = False,
) -> TrainingLoader:
    """Training pairs in the order of an epoch; images are rotated, cropped and recoloured.

    ``images`` (of ``resize_size``; cached features stay as they are) and ``local`` are those of
    ``annotations.images``. ``batch_size`` counts the pairs on all ranks. ``done(epoch, share)`` is
    the share of the training that is over so far into an epoch, by which ``train_sizes`` change.
    Raises UserError where there are too few pairs for a batch.
    """
    counts = {len(annotations.images), len(images)}
    if local is not None:
        counts.add(len(local.representation))
    if len(counts) > 1:
        raise ValueError(
            f"annotations, images and local features must be of the same images, got {counts}"
        )
    captions = Captions(annotations, tokenizer, options.max_words)
    dataset = PairDataset(captions, images, local, options, seed)
    least = max(2, world_size)
    if len(dataset) < least:
        raise UserError(
            f"{options.data_path} ({annotations.split})",
            f"{len(dataset)} training pairs are too few for a batch of {least}",
            "give more data, or lower k_fold.validation_share",
        )
    sampler = EpochBatches(len(dataset), options, seed, done=done, rank=rank, world_size=world_size)
    return TrainingLoader(
        dataset, sampler, workers=options.workers, pin_memory=pin_memory, persistent=True
    )


def image_loader(
    images: Images,
    local: LocalFeatures | None,
    options: DatasetOptions,
    *,
    indices: Sequence[int] | None = None,
    pin_memory: bool = False,
) -> BatchLoader[ImageBatch]:
    """Each image once, in order; ``indices`` chooses some. Images are of ``image_size``."""
    chosen = range(len(images)) if indices is None else indices
    size = options.batch_size_val
    batches = [chosen[i : i + size] for i in range(0, len(chosen), size)]
    # reading a cache is one copy; only decoding is worth processes of its own
    workers = 0 if isinstance(images, CachedImages | CachedFeatures) else options.workers
    return BatchLoader(ImageDataset(images, local), batches, workers=workers, pin_memory=pin_memory)


def view_loader(views: Views, options: DatasetOptions) -> BatchLoader[Tensor]:
    """The views of each image once, in order; about ``batch_size_val`` of them a batch."""
    total, size = len(views.files), max(1, options.batch_size_val // views.views)
    batches = [range(start, min(start + size, total)) for start in range(0, total, size)]
    return BatchLoader(ViewDataset(views), batches, workers=options.workers, pin_memory=False)
