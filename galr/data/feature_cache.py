"""The maps that a frozen trunk makes of images, in one HDF5 file.

The file of a split, size and trunk: ``maps`` (I, L) float16, as ``cache_files`` says; a row holds
what the head reads of an image (``mvsa.ImageEncoder.kept_maps``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from galr.common.atomic import atomic_path
from galr.common.errors import UserError
from galr.common.progress import Progress
from galr.data.cache_files import (
    Layout,
    MappedRows,
    Stamps,
    allocate,
    beyond_limit,
    building,
    cache_folders,
    find,
    has_room,
)
from galr.data.image_cache import ImageFiles
from galr.options import DatasetOptions

logger = logging.getLogger(__name__)

VERSION = 1
TITLE = "map cache"
OPTION = "model.backbone.cache_maps"


class CachedMaps(MappedRows):
    """The maps of images by their index, in place of the images."""

    def __getitem__(self, index: int) -> NDArray[np.float16]:
        """Those of image ``index``, (L,); not to be written to."""
        maps: NDArray[np.float16] = self._map[self.rows[index]]
        return maps

    def batch(self, indices: Sequence[int] | NDArray[np.int64]) -> Tensor:
        """Those of the images at ``indices``, (B, L) float16."""
        return torch.from_numpy(self._map[self.rows[np.asarray(indices)]])


def open_maps(
    options: DatasetOptions,
    split: str,
    files: ImageFiles,
    *,
    key: str,
    length: int,
    computed: Callable[[], Iterable[NDArray[np.float16]]],
) -> CachedMaps:
    """The maps of all ``files``, of a trunk that ``key`` names, from a cache.

    The cache lies where ``image_cache`` says; one that is missing or stale is built of the batches
    (B, ``length``) that ``computed`` gives. Raises UserError where it would be beyond
    ``image_cache_gb``, where there is no room for it, or where float16 cannot hold a map.
    """
    stamps, total = Stamps.of(files.folder, files.names), len(files)
    layout = Layout(TITLE, "maps", VERSION, np.float16, (length,))
    name = f"{split}_{files.side}px_maps_{key}.h5"
    folders = cache_folders(options)
    for folder in folders:
        cached, problem = _read(folder / name, layout, stamps)
        if cached is not None:
            return cached
        if problem:
            logger.info("%s %s: %s; it is built again", TITLE, folder / name, problem)
    too_big = beyond_limit(layout, total, options.image_cache_gb)
    if too_big:
        raise UserError(OPTION, too_big, "raise dataset.image_cache_gb, or set cache_maps to false")
    path = next((each / name for each in folders if has_room(each, layout, total)), None)
    if path is None:
        raise UserError(
            OPTION,
            f"no folder has room for {layout.bytes_of(total) / 1e9:.2f} GB of maps "
            f"(tried {', '.join(map(str, folders))})",
            "name one by dataset.image_cache, or set cache_maps to false",
        )
    return _build_once(path, layout, stamps, computed)


def _read(path: Path, layout: Layout, stamps: Stamps) -> tuple[CachedMaps | None, str | None]:
    """The cache at ``path``, or what is wrong with it (nothing, where there is none)."""
    total = len(stamps.names)
    offset, problem = find(path, layout, stamps)
    if offset is None:
        return None, problem
    return CachedMaps(path, offset, layout, total, np.arange(total)), None


def _build_once(
    path: Path,
    layout: Layout,
    stamps: Stamps,
    computed: Callable[[], Iterable[NDArray[np.float16]]],
) -> CachedMaps:
    """Builds the cache, or takes the one that another process has just built."""
    with building(path, TITLE):
        cached, _ = _read(path, layout, stamps)
        if cached is None:
            _build(path, layout, stamps, computed())
            cached, problem = _read(path, layout, stamps)
    if cached is None:
        raise UserError(path, f"was written just now, yet {problem}", "check the disk")
    return cached


def _build(
    path: Path, layout: Layout, stamps: Stamps, batches: Iterable[NDArray[np.float16]]
) -> None:
    total = len(stamps.names)
    size = layout.bytes_of(total) / 1e9
    logger.info("%s: maps of %d images, %.2f GB in %s", TITLE, total, size, path)
    with atomic_path(path) as temporary:
        offset = allocate(temporary, layout, stamps)
        # not through a mapping: on a full disk a mapped write would kill the process
        with temporary.open("rb+") as file, Progress(TITLE, total, "images") as progress:
            file.seek(offset)
            for rows in batches:
                if not np.isfinite(rows).all():
                    raise UserError(
                        OPTION, "a map is beyond the numbers of float16", "set cache_maps to false"
                    )
                file.write(rows.tobytes())
                progress.advance(len(rows))
