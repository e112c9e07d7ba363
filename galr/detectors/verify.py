"""Checks a store of local features against its images and detections, file by file."""

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
    """Compares a store with everything it was built from, and returns what was compared.

    ``images``: the image folder, if moved. Raises UserError for matrices, images or detections that
    differ.
    """
    said = []
    if store.checksum and store.checksum != checksum(store.features):
        raise UserError(
            store.path,
            "its matrices have changed since they were written",
            "restore it, or rebuild it",
        )
    said.append("matrices unchanged" if store.checksum else "matrices not compared")
    said.append(_images(store, images))
    said.append(_detections(store))
    return [f"{store.path}: {each}" for each in said]


def _images(store: Store, images: str | Path | None) -> str:
    folder = images if images is not None else store.origin and store.origin.images
    if store.digests is None or folder is None:
        return "images not compared: not recorded in the store"
    if not Path(folder).is_dir():
        raise UserError(folder, "there is no such image folder", "give it with --images")
    differ = image_contents(folder, store.names, anew=True).digests != store.digests
    if differ.any():
        names = [store.names[row] for row in np.flatnonzero(differ)]
        what = f"was built for other contents of {shown(names, 'images')} in {folder}"
        raise UserError(store.path, what, "restore them, or rebuild it")
    return f"{len(store.names)} images in {folder} unchanged"


def _detections(store: Store) -> str:
    origin = store.origin
    if origin is None or not origin.detections_digest:
        return "detections not compared: not recorded in the store"
    gone = [path for path in origin.detections if not Path(path).exists()]
    if gone:
        return f"detections not compared: {gone[0]} is missing"
    if detections_digest(origin.detections) != origin.detections_digest:
        what = f"the detections in {', '.join(origin.detections)} have changed since it was built"
        raise UserError(store.path, what, "rebuild it")
    return f"detections in {', '.join(origin.detections)} unchanged"
