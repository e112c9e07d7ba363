"""Cuts images into training, validation and test parts; look-alikes stay together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from galr.common.errors import UserError
from galr.common.seeding import derive_seed
from galr.preparation.hashes import near_groups

PARTS = ("train", "val", "test")
# A group above this share of the images is not kept together: a caption that many images share
# says little, and ties of ties would join everything in the end.
LARGEST, FEWEST = 0.05, 10


class Ties(NamedTuple):
    """group: (I,) the group of each image; said: lines about them."""

    group: NDArray[np.int64]
    said: list[str]


def read_shares(text: str) -> tuple[float, float, float]:
    """``80/10/10`` (training, validation, test) or ``90/10`` (training, test) as shares of 1."""
    try:
        numbers = [float(part) for part in text.split("/")]
    except ValueError:
        numbers = []
    if len(numbers) == 2:
        numbers.insert(1, 0.0)
    total = sum(numbers)
    if len(numbers) != 3 or not 0 < total < np.inf or min(numbers) < 0 or not numbers[0]:
        raise UserError(
            f"--split {text}", "is not a valid split", "write for example --split 80/10/10"
        )
    train, val, test = (number / total for number in numbers)
    return train, val, test


def tie_together(captions: Sequence[Sequence[str]] | None, hashes: NDArray[np.bool_]) -> Ties:
    """The groups of images that look alike, or share a caption word for word.

    captions: of each of the I images, or None where equal ones do not count; hashes: (I, 64).
    """
    groups = _Groups(len(hashes), max(FEWEST, int(LARGEST * len(hashes))))
    refused = groups.join(near_groups(hashes))
    said = [f"look-alikes: {groups.said(refused)}"]
    if captions is None:
        return Ties(groups.of_each(), said)
    by_text: dict[str, list[int]] = defaultdict(list)
    for index, own in enumerate(captions):
        for text in dict.fromkeys(own):
            by_text[text].append(index)
    shared = {text: found for text, found in by_text.items() if len(found) > 1}
    del by_text
    # the rarest first: they say most
    order = sorted(shared, key=lambda text: (len(shared[text]), text))
    refused = groups.join(shared[text] for text in order)
    said.append(f"look-alikes and equal captions: {groups.said(refused)}")
    if refused:
        widest = max(refused, key=len)
        text = next(text for text in order if shared[text] is widest)
        said[-1] += f', among them "{text}" of {len(widest):,} images'
    return Ties(groups.of_each(), said)


def cut(
    group: NDArray[np.int64], shares: tuple[float, float, float], seed: int
) -> NDArray[np.int64]:
    """(I,) the number of each image's part in ``PARTS``; a group is in one part.

    Groups come in random order; each goes where its middle falls.
    """
    distinct, inverse, sizes = np.unique(group, return_inverse=True, return_counts=True)
    order = np.random.default_rng(derive_seed(seed, "split")).permutation(len(distinct))
    middle = np.empty(len(distinct))
    middle[order] = np.cumsum(sizes[order]) - sizes[order] / 2
    bounds = np.cumsum(shares)[:2] * len(group)
    part: NDArray[np.int64] = np.searchsorted(bounds, middle, side="right")[inverse]
    return part


class _Groups:
    """Disjoint sets of images, none of which grows above ``largest``."""

    def __init__(self, images: int, largest: int) -> None:
        self.largest = largest
        self._parent = list(range(images))
        self._size = [1] * images

    def join(self, ties: Iterable[list[int]]) -> list[list[int]]:
        """Joins the images of each tie; returns those that would make too large a group."""
        refused = []
        for tie in ties:
            first, *others = sorted({self._root(image) for image in tie})
            size = self._size[first] + sum(self._size[other] for other in others)
            if size > self.largest:
                refused.append(tie)
                continue
            for other in others:
                self._parent[other] = first
            self._size[first] = size
        return refused

    def of_each(self) -> NDArray[np.int64]:
        """(I,) the first image of each one's group."""
        return np.array([self._root(image) for image in range(len(self._parent))], dtype=np.int64)

    def said(self, refused: list[list[int]]) -> str:
        """How many images are kept together, and what is not."""
        sizes = np.bincount(self.of_each())
        sizes = sizes[sizes > 1]
        said = f"{sizes.sum():,} images in {len(sizes):,} groups are kept together"
        if refused:
            said += f"; {len(refused):,} ties are not, which would join more than {self.largest:,}"
        return said

    def _root(self, image: int) -> int:
        parent = self._parent
        while parent[image] != image:
            parent[image] = parent[parent[image]]
            image = parent[image]
        return image
