"""A split, or a fold's part of one: annotations, images and local features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from galr.data.annotations import Annotations, read_annotations
from galr.data.image_cache import ImageFiles, Images, open_images
from galr.local_features.store import LocalFeatures, read_local_features
from galr.options import Options


class Part(NamedTuple):
    """Aligned by image index: annotations, images or cached features of them, local features."""

    annotations: Annotations
    images: Images
    local: LocalFeatures | None

    def select(self, indices: NDArray[np.int64]) -> Part:
        """The part of these images, in this order."""
        return Part(
            self.annotations.select(indices),
            self.images.select(indices),
            None if self.local is None else self.local.select(indices),
        )


class Split(NamedTuple):
    """A split as it is read once, for images of any size."""

    options: Options
    annotations: Annotations
    local: LocalFeatures | None

    def at(self, side: int) -> Part:
        """The whole split with images of ``side`` x ``side`` pixels."""
        images = open_images(self.options.dataset, self.annotations, side=side)
        return Part(self.annotations, images, self.local)

    def files(self) -> ImageFiles:
        """The files of all its images, decoded as squares of ``image_size``."""
        dataset = self.options.dataset
        return ImageFiles(dataset.image_folder, self.annotations.images, dataset.image_size)


def read_split(options: Options, split: str) -> Split:
    """Reads and checks the annotations and local features of ``train`` or ``test``."""
    dataset = options.dataset
    annotations = read_annotations(
        dataset.data_path,
        split,
        dataset.image_folder,
        empty_captions=dataset.empty_captions if split == "train" else 0,
    )
    return Split(options, annotations, _local_features(options, annotations.images))


def _local_features(options: Options, images: Sequence[str]) -> LocalFeatures | None:
    path, drea = options.dataset.local_path, options.dataset.drea
    if path is None or not options.uses_local:
        return None
    if path == "zeros":
        return LocalFeatures(
            np.zeros((len(images), drea.objects, drea.features), dtype=np.float32),
            np.zeros((len(images), drea.objects, drea.objects), dtype=np.float32),
        )
    return read_local_features(path, images, drea)
