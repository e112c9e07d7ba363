"""Whether a store of local features is still that of its images and detections, file by file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from galr.common.errors import UserError
from galr.images.content import digest_of_file, image_contents
from galr.images.folder import list_files
from galr.local_features.matrices import checksum
from galr.local_features.names import shown
from galr.local_features.store import Store


def detections_digest(paths: Sequence[str | Path]) -> str:
    """The SHA-256 of the names and contents of files, and of those in folders."""
    digest = hashlib.sha256()
    for path in map(Path, paths):
        files = [path / name for name in list_files(path).names] if path.is_dir() else [path]
        for file in files:
            digest.update(f"{file.relative_to(path.parent)} {digest_of_file(file)}\n".encode())
    return digest.hexdigest()


def verify_store(store: Store, images: str | Path | None = None) -> list[str]:
    """Reads all that a store was built from and compares it; says what was compared.

    ``images``: the folder of the images, where they were moved since. Raises UserError for numbers,
    images or detections that differ.
    """
    said = []
    if store.checksum and store.checksum != checksum(store.features):
        raise UserError(
            store.path, "its numbers are not those that were written", "get it again, or rebuild it"
        )
    said.append("numbers as they were written" if store.checksum else "numbers not compared")
    said.append(_images(store, images))
    said.append(_detections(store))
    return [f"{store.path}: {each}" for each in said]


def _images(store: Store, images: str | Path | None) -> str:
    folder = images if images is not None else store.origin and store.origin.images
    if store.digests is None or folder is None:
        return "images not compared: the store does not know them"
    if not Path(folder).is_dir():
        raise UserError(folder, "there is no such folder of images", "name it by --images")
    differ = image_contents(folder, store.names, anew=True).digests != store.digests
    if differ.any():
        names = [store.names[row] for row in np.flatnonzero(differ)]
        what = f"was built for others than {shown(names, 'images')} of {folder}"
        raise UserError(store.path, what, "restore them, or rebuild it")
    return f"{len(store.names)} images of {folder} as they were"


def _detections(store: Store) -> str:
    origin = store.origin
    if origin is None or not origin.detections_digest:
        return "detections not compared: the store does not know them"
    gone = [path for path in origin.detections if not Path(path).exists()]
    if gone:
        return f"detections not compared: there is no {gone[0]}"
    if detections_digest(origin.detections) != origin.detections_digest:
        what = f"the detections in {', '.join(origin.detections)} changed since it was built"
        raise UserError(store.path, what, "rebuild it")
    return f"detections in {', '.join(origin.detections)} as they were"
