"""The features that a frozen backbone computes of views of images, kept in a cache.

A row (V, L) float16 holds what the head reads (``mvsa.ImageEncoder``) of V views of an image. The
first view is that of evaluation, the next seven are its rotations by right angles and these
mirrored, and further ones are crops, each turned and mirrored at random.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from galr.common.errors import UserError
from galr.common.progress import Progress
from galr.common.seeding import derive_seed
from galr.data.transforms import PLACING, place, rotate_and_crop
from galr.images.cache import Cache, CachedRows, NoRoomError
from galr.images.decoding import decode_image, resize_to_square
from galr.images.square_files import ImageFiles
from galr.options import DatasetOptions

TITLE = "feature cache"
OPTION = "model.backbone.cache_features"
SYMMETRIES = 8  # of a square
ROTATIONS = 4  # the first of these


class CachedFeatures(CachedRows):
    """The features of images by their index, in place of the images."""

    def batch(
        self,
        indices: Sequence[int] | NDArray[np.int64],
        draws: NDArray[np.float64] | None = None,
    ) -> Tensor:
        """Those of the images at ``indices``, float16.

        draws (B,): uniform numbers in [0, 1) that choose a view of each, (B, L). Without, those of
        evaluation: the only view (B, L), or the up to four rotations, upright first (B, 4, L).
        """
        rows = self.rows[np.asarray(indices)]
        if self.array.ndim == 2:  # one view
            return torch.from_numpy(self.array[rows])
        if draws is None:
            return torch.from_numpy(self.array[rows, :ROTATIONS])
        return torch.from_numpy(self.array[rows, self.views(draws)])

    def views(self, draws: NDArray[np.float64]) -> NDArray[np.int64]:
        """The numbers of the views that ``draws`` (B,) choose."""
        count = self.shape[1] if self.array.ndim == 3 else 1
        return (draws * count).astype(np.int64)


class Views:
    """``views`` views of an image, of ``side`` pixels; the crops are a function of ``seed``."""

    def __init__(self, files: ImageFiles, views: int, options: DatasetOptions, seed: int) -> None:
        self.files, self.views, self.options = files, views, options
        self.seed = derive_seed(seed, "views")

    def __call__(self, index: int) -> NDArray[np.uint8]:
        """Those of image ``index``: (V, S, S, 3)."""
        side, files = self.files.side, self.files
        image = decode_image(files.folder / files.names[index], files.scaling)
        pixels = np.empty((self.views, side, side, 3), np.uint8)
        upright = resize_to_square(image, side)
        for view in range(min(self.views, SYMMETRIES)):
            mirrored = upright[:, ::-1] if view >= 4 else upright
            pixels[view] = np.rot90(mirrored, view % 4)
        if self.views > SYMMETRIES:
            larger = resize_to_square(image, self.options.resize_size)
            # of all crops that it may ever have, so that more views keep the first
            draws = np.random.default_rng((self.seed, index)).random(
                (self.views - SYMMETRIES, PLACING)
            )
            augment = self.options.augment.model_copy(update={"right_angles": True})
            for out, draw in zip(pixels[SYMMETRIES:], draws, strict=True):
                placement = place(draw, len(larger), side, 0.0, augment)
                rotate_and_crop(larger, placement, out)
        return pixels

    @property
    def key(self) -> str:
        """What tells caches of other views apart, as a part of a file's name."""
        if self.views == 1:
            return ""
        if self.views <= SYMMETRIES:
            return f"_{self.views}views"
        crops = f"{self.options.resize_size} {self.options.augment.crop_scale} {self.seed}"
        return f"_{self.views}views_{hashlib.sha256(crops.encode()).hexdigest()[:8]}"


def open_features(
    options: DatasetOptions,
    split: str,
    views: Views,
    *,
    key: str,
    length: int,
    batches: Iterable[NDArray[np.float16]],
) -> CachedFeatures:
    """The features of ``views`` of all images by the backbone that ``key`` names, from a cache.

    The cache lies where ``image_cache`` says; one that is missing or stale is built from
    ``batches`` (B, V, ``length``), which is read for that alone. Raises UserError where there is
    no room for it and where float16 cannot hold a feature.
    """
    files = views.files
    cache = Cache(
        TITLE, f"{split}_{files.side}px_features_{key}{views.key}.h5", options, files.folder,
        files.names, (length,) if views.views == 1 else (views.views, length), np.float16,
        files.scaling,
    )  # fmt: skip
    try:
        return cache.load_or_build(CachedFeatures, partial(_write, batches, len(files)))
    except NoRoomError as error:
        raise UserError(OPTION, error.what, f"{error.remedy}, or set it to false") from None


def _write(batches: Iterable[NDArray[np.float16]], total: int, path: Path, offset: int) -> None:
    # not through a mapping: on a full disk a mapped write would kill the process
    with path.open("rb+") as file, Progress(TITLE, total, "images") as progress:
        file.seek(offset)
        for rows in batches:
            if not np.isfinite(rows).all():
                raise UserError(
                    OPTION, "a feature is beyond the range of float16", "set it to false"
                )
            file.write(rows.tobytes())
            progress.advance(len(rows))
