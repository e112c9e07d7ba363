"""The features that a frozen backbone computes of images, kept in a cache.

A row (L,) float16 holds what the head reads of an image (``mvsa.ImageEncoder``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from galr.common.errors import UserError
from galr.common.progress import Progress
from galr.data.cache import Cache, CachedRows, NoRoomError
from galr.data.image_cache import ImageFiles
from galr.options import DatasetOptions

TITLE = "feature cache"
OPTION = "model.backbone.cache_maps"


class CachedFeatures(CachedRows):
    """The features of images by their index, in place of the images."""

    def batch(self, indices: Sequence[int] | NDArray[np.int64]) -> Tensor:
        """Those of the images at ``indices``, (B, L) float16."""
        return torch.from_numpy(self.array[self.rows[np.asarray(indices)]])


def open_features(
    options: DatasetOptions,
    split: str,
    files: ImageFiles,
    *,
    key: str,
    length: int,
    batches: Iterable[NDArray[np.float16]],
) -> CachedFeatures:
    """The features of all ``files`` by the backbone that ``key`` names, from a cache.

    The cache lies where ``image_cache`` says; one that is missing or stale is built from
    ``batches`` (B, ``length``), which is read for that alone. Raises UserError where there is no
    room for it and where float16 cannot hold a feature.
    """
    cache = Cache(
        TITLE, f"{split}_{files.side}px_features_{key}.h5", options, files.folder, files.names,
        (length,), np.float16, files.scaling,
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
