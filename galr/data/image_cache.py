"""Decoded, resized images in one HDF5 file, so that no epoch decodes a file again.

The file of a split and size: ``images`` (I, S, S, 3) uint8, as ``cache_files`` says.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from galr.common.atomic import atomic_path
from galr.common.errors import RunError, UserError
from galr.common.processes import cores, leave_interrupts_to_parent, starting_processes
from galr.common.progress import Progress
from galr.data.annotations import Annotations
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
    image_folder,
)
from galr.data.images import decode_image, resize_to_square
from galr.options import DatasetOptions

logger = logging.getLogger(__name__)

VERSION = 1


class Images(Protocol):
    """Images of one size by their index, or the maps that stand for them (``map_cache``)."""

    def __len__(self) -> int:
        """I, the number of images."""

    def __getitem__(self, index: int) -> NDArray[Any]:
        """Image ``index``, (S, S, 3) uint8 RGB, or its maps, (L,); not to be written to."""

    def select(self, indices: Sequence[int] | NDArray[np.int64]) -> Images:
        """The images at ``indices``, in that order."""


@dataclass(frozen=True)
class ImageFiles:
    """Images that are decoded anew each time."""

    folder: Path
    names: tuple[str, ...]
    side: int

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        return resize_to_square(decode_image(self.folder / self.names[index]), self.side)

    def select(self, indices: Sequence[int] | NDArray[np.int64]) -> ImageFiles:
        """The images at ``indices``, in that order."""
        return ImageFiles(self.folder, tuple(self.names[i] for i in indices), self.side)


class CachedImages(MappedRows):
    """Rows of a cache file, mapped into memory by each process that reads them."""

    @property
    def side(self) -> int:
        """S, the side of the squares in pixels."""
        return self.layout.row[0]

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        image: NDArray[np.uint8] = self._map[self.rows[index]]
        return image


def open_images(options: DatasetOptions, annotations: Annotations, side: int) -> Images:
    """All images of ``annotations`` as squares of ``side`` pixels, from a cache where one may be.

    ``image_cache`` says where: ``auto`` is ``image_cache`` inside the data folder or, where that
    cannot be written, the user's cache folder; else a folder; ``off`` decodes every time. A cache
    that is missing or stale is built first. Without room for it (``image_cache_gb``, the disk) a
    line in the log says so, and the images are decoded every time. Raises UserError for an image
    that is missing or damaged.
    """
    files = ImageFiles(image_folder(options), annotations.images, side)
    if options.image_cache == "off":
        return files
    stamps = Stamps.of(files.folder, files.names)
    folders = cache_folders(options)
    name = f"{annotations.split}_{side}px.h5"
    for folder in folders:
        cached, problem = _read(folder / name, stamps, side)
        if cached is not None:
            return cached
        if problem:
            logger.info("image cache %s: %s; it is built again", folder / name, problem)
    layout = _layout(side)
    too_big = beyond_limit(layout, len(files), options.image_cache_gb)
    if too_big:
        logger.warning("image cache: %s; images are decoded every time", too_big)
        return files
    for folder in folders:
        if has_room(folder, layout, len(files)):
            return _build_once(folder / name, files, stamps)
    logger.warning("image cache: no folder for it was found; images are decoded every time")
    return files


def _layout(side: int) -> Layout:
    return Layout("image cache", "images", VERSION, np.uint8, (side, side, 3))


def _read(path: Path, stamps: Stamps, side: int) -> tuple[CachedImages | None, str | None]:
    """The cache at ``path``, or what is wrong with it (nothing, where there is none)."""
    layout, total = _layout(side), len(stamps.names)
    offset, problem = find(path, layout, stamps)
    if offset is None:
        return None, problem
    return CachedImages(path, offset, layout, total, np.arange(total)), None


def _build_once(path: Path, files: ImageFiles, stamps: Stamps) -> Images:
    """Builds the cache, or takes the one that another process has just built."""
    with building(path, "image cache"):
        cached, _ = _read(path, stamps, files.side)
        if cached is not None:
            return cached
        try:
            _build(path, files, stamps)
        except RunError as error:
            logger.warning("image cache: %s; images are decoded every time", error)
            return files
        cached, problem = _read(path, stamps, files.side)
    if cached is None:
        logger.warning("image cache %s: %s; images are decoded every time", path, problem)
        return files
    return cached


def _build(path: Path, files: ImageFiles, stamps: Stamps) -> None:
    layout = _layout(files.side)
    logger.info(
        "image cache: %d images to %d x %d pixels, %.2f GB in %s",
        len(files),
        files.side,
        files.side,
        layout.bytes_of(len(files)) / 1e9,
        path,
    )
    with atomic_path(path) as temporary:
        offset = allocate(temporary, layout, stamps)
        _fill(temporary, offset, files)


def _fill(path: Path, offset: int, files: ImageFiles) -> None:
    """Decodes on all cores; each image goes straight to its place in the file."""
    size = files.side * files.side * 3
    write = partial(_write_row, path, files.folder, files.side)
    places = range(offset, offset + len(files) * size, size)
    problems = []
    with (
        ProcessPoolExecutor(cores(), initializer=leave_interrupts_to_parent) as pool,
        starting_processes(),
    ):
        try:
            written = pool.map(write, files.names, places, chunksize=16)
            with Progress("image cache", total=len(files), unit="images") as progress:
                for problem in written:
                    progress.advance(1)
                    if problem is not None:
                        problems.append(problem)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    if problems:
        raise _joined(problems)


def _write_row(path: Path, folder: Path, side: int, name: str, place: int) -> UserError | None:
    try:
        pixels = resize_to_square(decode_image(folder / name), side)
    except UserError as error:
        return error  # all are gathered, so that people mend them at once
    # not through a mapping: on a full disk a mapped write would kill the process
    with path.open("rb+", buffering=0) as file:
        file.seek(place)
        if file.write(pixels.tobytes()) < pixels.nbytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return None


def _joined(problems: list[UserError]) -> UserError:
    first, others = problems[0], problems[1:]
    if not others:
        return first
    names = ", ".join(Path(problem.place).name for problem in others[:3])
    more = f" (so it is with {len(others)} more: {names}{', ...' if len(others) > 3 else ''})"
    return UserError(first.place, first.what + more, first.remedy)
