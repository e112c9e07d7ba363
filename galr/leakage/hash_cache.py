"""The perceptual hashes of a split's images, in a cache beside the image cache."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from galr.common.errors import RunError
from galr.common.parallel import in_processes
from galr.data.annotations import Annotations
from galr.images.cache import Cache, CachedRows
from galr.images.decoding import decode_image
from galr.images.scaling import Scaling
from galr.leakage.hashes import BITS, perceptual_hash
from galr.options import DatasetOptions

TITLE = "hashes of images"
ALONE = 200  # fewer images are decoded faster than processes start


def image_hashes(options: DatasetOptions, annotations: Annotations) -> NDArray[np.bool_]:
    """(I, 64), of the images of ``annotations``, cached if ``image_cache`` has room.

    Builds a missing or stale cache. Raises UserError for a missing or damaged image.
    """
    scaling = Scaling.of(options)
    cache = Cache(
        TITLE, f"{annotations.split}_hashes.h5", options, options.image_folder, annotations.images,
        (BITS // 8,), np.uint8, scaling,
    )  # fmt: skip

    def write(path: Path, offset: int) -> None:
        with path.open("rb+") as file:
            file.seek(offset)
            file.write(_computed(cache).tobytes())

    if options.image_cache == "off":
        return _bits(_computed(cache))
    try:
        return _bits(cache.load_or_build(CachedRows, write).array)
    except RunError:  # no room
        return _bits(_computed(cache))


def _computed(cache: Cache) -> NDArray[np.uint8]:
    work = partial(_hash, cache.folder, cache.scaling)
    return np.stack([*in_processes(work, cache.names, TITLE, chunk=16, alone=ALONE)])


def _hash(folder: Path, scaling: Scaling, name: str) -> NDArray[np.uint8]:
    return np.packbits(perceptual_hash(decode_image(folder / name, scaling)))


def _bits(rows: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.unpackbits(rows, axis=1).astype(np.bool_)
