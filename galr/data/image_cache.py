"""The images of a data set as squares of uint8: decoded once into a cache, or every time."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from galr.common.errors import RunError, UserError
from galr.common.parallel import in_processes
from galr.data.annotations import Annotations
from galr.data.cache import Cache, CachedRows
from galr.data.images import decode_image, resize_to_square
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


class CachedImages(CachedRows):
    """Images from a cache file: (S, S, 3) uint8 each."""

    @property
    def side(self) -> int:
        """S, the side of the squares in pixels."""
        return self.shape[1]


def open_images(options: DatasetOptions, annotations: Annotations, side: int) -> Images:
    """All images of ``annotations`` as squares of ``side`` pixels, from a cache where one may be.

    ``image_cache`` says where: ``auto`` is ``image_cache`` inside the data folder or, where that
    cannot be written, the user's cache folder; else a folder; ``off`` decodes every time. A cache
    that is missing or stale is built first. Without room for it (``image_cache_gb``, the disk) a
    line in the log says so, and the images are decoded every time. Raises UserError for an image
    that is missing or damaged.
    """
    files = ImageFiles(options.image_folder, annotations.images, side)
    if options.image_cache == "off":
        return files
    cache = Cache(
        "image cache", f"{annotations.split}_{side}px.h5", options, files.folder, files.names,
        (side, side, 3), np.uint8,
    )  # fmt: skip
    try:
        return cache.load_or_build(CachedImages, partial(_decode_all, files))
    except RunError as error:
        logger.warning("%s; images are decoded every time", error)
        return files


def _decode_all(files: ImageFiles, path: Path, offset: int) -> None:
    """Decodes on all cores; each image goes straight to its row in the file."""
    row = files.side * files.side * 3
    rows = list(zip(files.names, range(offset, offset + len(files) * row, row), strict=True))
    work = partial(_decode_row, path, files.folder, files.side)
    problems = [
        problem for problem in in_processes(work, rows, "image cache", chunk=16, alone=4) if problem
    ]
    if problems:
        raise _joined(problems)


def _decode_row(path: Path, folder: Path, side: int, row: tuple[str, int]) -> UserError | None:
    name, offset = row
    try:
        pixels = resize_to_square(decode_image(folder / name), side)
    except UserError as error:
        return error  # all are gathered, so that people correct them at once
    # not through a mapping: on a full disk a mapped write would kill the process
    with path.open("rb+", buffering=0) as file:
        file.seek(offset)
        if file.write(pixels.tobytes()) < pixels.nbytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return None


def _joined(problems: list[UserError]) -> UserError:
    first, others = problems[0], problems[1:]
    if not others:
        return first
    names = ", ".join(Path(problem.place).name for problem in others[:3])
    more = f" (and so {len(others)} more: {names}{', ...' if len(others) > 3 else ''})"
    return UserError(first.place, first.what + more, first.remedy)
