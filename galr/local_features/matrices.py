"""The two matrices of every image: representation and adjacency of its objects."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from galr.options import DreaOptions


@dataclass(frozen=True)
class LocalFeatures:
    """representation (I, N, F) and adjacency (I, N, N), float32, in the order of some images."""

    representation: NDArray[np.float32]
    adjacency: NDArray[np.float32]

    @classmethod
    def zeros(cls, images: int, drea: DreaOptions) -> LocalFeatures:
        """Local features of ``images`` images without objects."""
        return cls(
            np.zeros((images, drea.objects, drea.features), dtype=np.float32),
            np.zeros((images, drea.objects, drea.objects), dtype=np.float32),
        )

    def select(self, indices: Sequence[int] | NDArray[np.int64]) -> LocalFeatures:
        """The images at ``indices``, in that order."""
        rows = np.asarray(indices, dtype=np.int64)
        return LocalFeatures(self.representation[rows], self.adjacency[rows])


def checksum(features: LocalFeatures) -> str:
    """SHA-256 of both matrices."""
    digest = hashlib.sha256()
    for matrix in (features.representation, features.adjacency):
        digest.update(np.ascontiguousarray(matrix, np.float32).data)
    return digest.hexdigest()


def check_arrays(
    names: Sequence[str],
    representation: NDArray[np.float32],
    adjacency: NDArray[np.float32],
    drea: DreaOptions | None,
) -> None:
    """Raises ValueError for shapes, names or numbers that no reader would accept."""
    images, shapes = len(names), (representation.shape, adjacency.shape)
    objects, features = (*representation.shape, 0, 0, 0)[1:3]
    if drea is not None:
        objects, features = drea.objects, drea.features
    if shapes != ((images, objects, features), (images, objects, objects)):
        raise ValueError(
            f"representation must be ({images}, {objects}, {features}) and adjacency "
            f"({images}, {objects}, {objects}), got {shapes[0]} and {shapes[1]}"
        )
    if len(set(names)) < images:
        raise ValueError("image names must be distinct")
    for name, matrix in (("representation", representation), ("adjacency", adjacency)):
        if not np.issubdtype(matrix.dtype, np.floating):
            raise ValueError(f"{name} must be real-valued, got {matrix.dtype}")
        bad = ~np.isfinite(matrix).all(axis=(1, 2))
        if bad.any():
            raise ValueError(f"{name} of {names[int(bad.argmax())]} contains NaN or infinity")
