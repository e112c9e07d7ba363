"""Image files as squares of uint8: decoded every time, or all into a cache."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from galr.common.errors import UserError
from galr.common.parallel import in_processes
from galr.images.decoding import (
    AS_IT_IS,
    decode_image,
    is_nearly_constant,
    resize_to_square,
    warn_of_constant,
)
from galr.images.scaling import Scaling

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageFiles:
    """Images that are decoded every time."""

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


def decode_all(files: ImageFiles, path: Path, offset: int) -> None:
    """Decodes on all cores, each image directly to its row in the file at ``path``.

    Warns of nearly constant images. Raises UserError for damaged ones.
    """
    row = files.side * files.side * 3
    rows = list(zip(files.names, range(offset, offset + len(files) * row, row), strict=True))
    work = partial(_decode_row, path, replace(files, names=()))
    found = list(in_processes(work, rows, "image cache", chunk=16, alone=4))
    problems = [problem for problem in found if isinstance(problem, UserError)]
    if problems:
        raise _joined(problems)
    flat = [name for name, is_flat in zip(files.names, found, strict=True) if is_flat]
    warn_of_constant(flat, len(files))


def _decode_row(path: Path, files: ImageFiles, row: tuple[str, int]) -> UserError | bool:
    """Whether the image is nearly constant."""
    name, offset = row
    try:
        pixels = replace(files, names=(name,))[0]
    except UserError as error:
        return error  # collects all, so that they can be corrected at once
    # not through a mapping: on a full disk, a mapped write kills the process
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
