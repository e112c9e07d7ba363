"""Compares image caches with their sources, file by file and row by row."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from galr.common.errors import UserError
from galr.common.hdf5 import check_heaps, own_dataset
from galr.images.content import cache_folders, digests_of_rows, image_contents
from galr.local_features.names import shown
from galr.options import DatasetOptions

REMEDY = "delete the file to rebuild it"


def verify_caches(options: DatasetOptions) -> list[str]:
    """Compares every image and feature cache of a data set; returns what was compared.

    Raises UserError, with the names, for rows that changed since they were written and for images
    that changed since the cache was built.
    """
    if options.image_cache == "off":
        return []
    files = [path for folder in cache_folders(options) for path in sorted(folder.glob("*.h5"))]
    return [_verified(path, options.image_folder) for path in files]


def _verified(path: Path, folder: Path) -> str:
    try:
        check_heaps(path)
        with h5py.File(path, "r", locking=False) as file:
            if "row_digests" not in file:
                return f"{path}: not compared: built by an earlier version"
            names = tuple(own_dataset(file, "names").asstr()[:])
            images, rows = file["digests"][:], file["row_digests"][:]
            array = file["rows"]
            offset, shape, dtype = int(array.id.get_offset()), array.shape, array.dtype
        mapped = np.memmap(path, dtype, mode="r", offset=offset, shape=shape)
        damaged = digests_of_rows(mapped) != rows
        if damaged.shape != (len(names),) or images.shape != damaged.shape:
            raise ValueError("its parts have different lengths")
    except (OSError, KeyError, AttributeError, TypeError, ValueError) as error:
        raise UserError(path, f"cannot be read ({error})", REMEDY) from None
    changed = image_contents(folder, names, anew=True).digests != images
    for differ, what in (
        (damaged, "has rows that changed since they were written, of"),
        (changed, "was built from other content of"),
    ):
        if differ.any():
            differing = [names[row] for row in np.flatnonzero(differ)]
            raise UserError(path, f"{what} {shown(differing, 'images')}", REMEDY)
    return f"{path}: {len(names)} rows and images unchanged"
