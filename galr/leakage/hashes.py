"""Perceptual hashes: near-duplicates regardless of size, format and compression."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn

BITS = 64
# of 64 bits; a re-saved JPEG differs in 0 to 4, different scenes rarely in fewer than 10
NEAR = 4


def perceptual_hash(image: Image.Image) -> NDArray[np.bool_]:
    """(64,) bits: which of the 8 x 8 lowest frequencies of the grey image exceed their median."""
    grey = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.LANCZOS), np.float64)
    low = dctn(grey, norm="ortho")[:8, :8].ravel()
    # the first is the mean brightness, which is always large and carries no information
    bits: NDArray[np.bool_] = low > np.median(low[1:])
    return bits


def near_pairs(left: NDArray[np.bool_], right: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(P, 3) rows of left index, right index, differing bits (at most ``NEAR``), nearest first.

    left: (I, 64), right: (J, 64).
    """
    found = [np.zeros((0, 3), dtype=np.int64)]
    for start, distance in _distances(left, right):
        rows, columns = np.nonzero(distance <= NEAR)
        found.append(np.stack([rows + start, columns, distance[rows, columns]], axis=1))
    pairs = np.concatenate(found)
    return pairs[np.argsort(pairs[:, 2], kind="stable")]


def has_near(left: NDArray[np.bool_], right: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(I,) whether any of ``right`` (J, 64) is near to each of ``left`` (I, 64)."""
    found = np.zeros(len(left), dtype=np.bool_)
    for start, distance in _distances(left, right):
        found[start : start + len(distance)] = (distance <= NEAR).any(axis=1)
    return found


def _distances(
    left: NDArray[np.bool_], right: NDArray[np.bool_]
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Differing bits (b, J) for blocks of ``left``, each with its first row."""
    signs_left, signs_right = (bits.astype(np.float32) * 2 - 1 for bits in (left, right))
    # blocks limit the product to a hundred megabytes for any number of images
    step = max(1, 25_000_000 // max(len(right), 1))
    for start in range(0, len(left), step):
        block = signs_left[start : start + step] @ signs_right.T
        yield start, ((BITS - block) / 2).astype(np.int64)


def near_groups(hashes: NDArray[np.bool_]) -> Iterator[list[int]]:
    """Groups of equal hashes, then pairs whose hashes differ in at most ``NEAR`` bits.

    hashes: (I, 64). Two such hashes agree in at least one of ``NEAR`` + 1 segments, so only hashes
    that share a segment are compared.
    """
    words = np.packbits(hashes, axis=1).view(np.uint64).ravel()
    distinct, first, inverse = np.unique(words, return_index=True, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    for same in np.split(order, np.cumsum(np.bincount(inverse))[:-1]):
        if len(same) > 1:
            yield same.tolist()
    bits = np.unpackbits(distinct[:, None].view(np.uint8), axis=1).astype(np.bool_)
    for stretch in np.array_split(np.arange(BITS), NEAR + 1):
        keys = bits[:, stretch] @ (1 << np.arange(len(stretch), dtype=np.int64))
        order = np.argsort(keys, kind="stable")
        for members in np.split(order, np.flatnonzero(np.diff(keys[order])) + 1):
            if len(members) > 1:
                pairs = near_pairs(bits[members], bits[members])[:, :2]
                for left, right in members[pairs[pairs[:, 0] < pairs[:, 1]]].tolist():
                    yield [int(first[left]), int(first[right])]
