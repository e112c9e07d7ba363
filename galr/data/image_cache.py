"""The images of a data set as squares of uint8: decoded once into a cache, or every time."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from galr.common.errors import RunError, UserError
from galr.common.parallel import in_processes
from galr.data.annotations import Annotations
from galr.images.cache import Cache, CachedRows
from galr.images.decoding import AS_IT_IS, decode_image, is_nearly_constant, resize_to_square
from galr.images.scaling import Scaling
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
    scaling: Scaling = AS_IT_IS

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        image = decode_image(self.folder / self.names[index], self.scaling)
        return resize_to_square(image, self.side)

    def select(self, indices: Sequence[int] | NDArray[np.int64]) -> ImageFiles:
        """The images at ``indices``, in that order."""
        return replace(self, names=tuple(self.names[i] for i in indices))


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
        return cache.load_or_build(CachedImages, partial(_decode_all, files))
    except RunError as error:
        logger.warning("%s; images are decoded every time", error)
        return files


def _decode_all(files: ImageFiles, path: Path, offset: int) -> None:
    """Decodes on all cores; each image goes straight to its row in the file."""
    row = files.side * files.side * 3
    rows = list(zip(files.names, range(offset, offset + len(files) * row, row), strict=True))
    work = partial(_decode_row, path, replace(files, names=()))
    found = list(in_processes(work, rows, "image cache", chunk=16, alone=4))
    problems = [problem for problem in found if isinstance(problem, UserError)]
    if problems:
        raise _joined(problems)
    flat = [name for name, is_flat in zip(files.names, found, strict=True) if is_flat]
    if flat:
        logger.warning(
            "%d of %d images are nearly of one value, for example %s: check dataset.pixel_range",
            len(flat), len(files), flat[0],
        )  # fmt: skip


def _decode_row(path: Path, files: ImageFiles, row: tuple[str, int]) -> UserError | bool:
    """Whether the image is nearly constant."""
    name, offset = row
    try:
        pixels = replace(files, names=(name,))[0]
    except UserError as error:
        return error  # all are gathered, so that people correct them at once
    # not through a mapping: on a full disk a mapped write would kill the process
    with path.open("rb+", buffering=0) as file:
        file.seek(offset)
        if file.write(pixels.tobytes()) < pixels.nbytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return is_nearly_constant(pixels)


def _joined(problems: list[UserError]) -> UserError:
    first, others = problems[0], problems[1:]
    if not others:
        return first
    names = ", ".join(Path(problem.place).name for problem in others[:3])
    more = f" (and so {len(others)} more: {names}{', ...' if len(others) > 3 else ''})"
    return UserError(first.place, first.what + more, first.remedy)
