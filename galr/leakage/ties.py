"""Groups of images that look alike or share a caption, which a split must not separate."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import DisjointSet

from galr.leakage.hashes import near_groups

# A group above this fraction of the images is not kept together: a caption shared by many images
# says little, and transitive ties would eventually join everything.
LARGEST, FEWEST = 0.05, 10


class Ties(NamedTuple):
    """group: (I,) the group of each image; said: a report, line by line."""

    group: NDArray[np.int64]
    said: list[str]


def tie_together(captions: Sequence[Sequence[str]] | None, hashes: NDArray[np.bool_]) -> Ties:
    """The groups of images that look alike or share a caption word for word.

    captions: of each of the I images, or None to ignore equal ones; hashes: (I, 64).
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
    # the rarest first: the most informative
    order = sorted(shared, key=lambda text: (len(shared[text]), text))
    refused = groups.join(shared[text] for text in order)
    said.append(f"look-alikes and equal captions: {groups.said(refused)}")
    if refused:
        widest = max(refused, key=len)
        text = next(text for text in order if shared[text] is widest)
        said[-1] += f', among them "{text}" of {len(widest):,} images'
    return Ties(groups.of_each(), said)


class _Groups:
    """Disjoint sets of images with at most ``largest`` members."""

    def __init__(self, images: int, largest: int) -> None:
        self.largest = largest
        self._sets = DisjointSet(range(images))

    def join(self, ties: Iterable[list[int]]) -> list[list[int]]:
        """Joins the images of each tie; returns ties that would make a group too large."""
        refused = []
        for tie in ties:
            first, *others = {self._sets[image] for image in tie}
            if sum(map(self._sets.subset_size, (first, *others))) > self.largest:
                refused.append(tie)
                continue
            for other in others:
                self._sets.merge(first, other)
        return refused

    def of_each(self) -> NDArray[np.int64]:
        """(I,) the first image of each one's group."""
        first: dict[int, int] = {}
        groups = (first.setdefault(self._sets[image], image) for image in self._sets)
        return np.fromiter(groups, dtype=np.int64)

    def said(self, refused: list[list[int]]) -> str:
        """Reports how many images are kept together, and which ties are not."""
        sizes = np.bincount(self.of_each())
        sizes = sizes[sizes > 1]
        said = f"{sizes.sum():,} images in {len(sizes):,} groups are kept together"
        if refused:
            said += (
                f"; {len(refused):,} ties are ignored, which would join more than {self.largest:,}"
            )
        return said
