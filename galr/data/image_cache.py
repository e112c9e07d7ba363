"""The images of a data set as squares of uint8: decoded once into a cache, or every time."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from galr.common.errors import RunError
from galr.data.annotations import Annotations
from galr.images.cache import Cache, CachedRows
from galr.images.scaling import Scaling
from galr.images.square_files import ImageFiles, decode_all
from galr.options import DatasetOptions

logger = logging.getLogger(__name__)


class Images(Protocol):
    """Images of one size by their index, or the cached features that stand for them."""

    def __len__(self) -> int:
        """I, the number of images."""

    def __getitem__(self, index: int) -> NDArray[Any]:
        """Image ``index``, (S, S, 3) uint8 RGB, or its features (L,); not to be written to."""

    def select(self, indices: Sequence[int] | NDArray[np.int64]) -> Images:
        """The images at ``indices``, in that order."""


class CachedImages(CachedRows):
    """Images from a cache file: (S, S, 3) uint8 each."""

    @property
    def side(self) -> int:
        """S, the side of the squares in pixels."""
        return self.shape[1]


def image_files(options: DatasetOptions, annotations: Annotations, side: int) -> ImageFiles:
    """The files of ``annotations``, decoded as squares of ``side`` pixels."""
    return ImageFiles(options.image_folder, annotations.images, side, Scaling.of(options))


def open_images(options: DatasetOptions, annotations: Annotations, side: int) -> Images:
    """All images of ``annotations`` as squares of ``side`` pixels, from a cache where one may be.

    ``image_cache`` says where: ``auto`` is ``image_cache`` inside the data folder or, where that
    cannot be written, the user's cache folder; else a folder; ``off`` decodes every time. A cache
    that is missing or stale is built first. Without room for it (``image_cache_gb``, the disk) a
    line in the log says so, and the images are decoded every time. A warning names images that are
    nearly of one value. Raises UserError for an image that is missing or damaged.
    """
    files = image_files(options, annotations, side)
    if options.image_cache == "off":
        return files
    cache = Cache(
        "image cache", f"{annotations.split}_{side}px.h5", options, files.folder, files.names,
        (side, side, 3), np.uint8, files.scaling,
    )  # fmt: skip
    try:
        return cache.load_or_build(CachedImages, partial(decode_all, files))
    except RunError as error:
        logger.warning("%s; images are decoded every time", error)
        return files
