"""All images of a folder decoded once: damages, sizes, perceptual hashes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from galr.common.errors import UserError
from galr.common.parallel import in_processes
from galr.images.decoding import AS_IT_IS, decode_image, is_nearly_constant
from galr.images.scaling import Scaling
from galr.leakage.hashes import BITS, perceptual_hash


class Survey(NamedTuple):
    """hashes: (I, 64) bool, zeros for a damaged image; sizes: (I, 2) width and height in pixels;
    bad: what is wrong with an image, by its index; constant: the nearly constant ones."""

    hashes: NDArray[np.bool_]
    sizes: NDArray[np.int64]
    bad: dict[int, str]
    constant: list[int]


def survey_images(folder: str | Path, names: Sequence[str], scaling: Scaling = AS_IT_IS) -> Survey:
    """Decodes every image, in processes on all cores, with a progress bar."""
    survey = Survey(
        np.zeros((len(names), BITS), bool), np.zeros((len(names), 2), dtype=np.int64), {}, []
    )
    work = partial(_look, Path(folder), scaling)
    looks = in_processes(work, names, f"checking {folder}", chunk=16, alone=4)
    for index, (bits, size, is_constant, wrong) in enumerate(looks):
        survey.hashes[index], survey.sizes[index] = bits, size
        if wrong is not None:
            survey.bad[index] = wrong
        elif is_constant:
            survey.constant.append(index)
    return survey


def _look(
    folder: Path, scaling: Scaling, name: str
) -> tuple[NDArray[np.bool_], tuple[int, int], bool, str | None]:
    try:
        image = decode_image(folder / name, scaling)
        return perceptual_hash(image), image.size, is_nearly_constant(image), None
    except UserError as error:
        return np.zeros(BITS, bool), (0, 0), False, str(error)
