"""A split, or a fold's part of one: annotations, images and local features."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from galr.common.errors import UserError
from galr.data.annotations import Annotations, image_names, read_annotations, read_lines
from galr.data.image_cache import Images, image_files, open_images
from galr.images.content import image_digests
from galr.images.decoding import measured
from galr.images.scaling import Scaling
from galr.images.square_files import ImageFiles
from galr.language.plausibility import warn_of_shift, warn_of_swap
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
    """A split as it is read once, for images of any size; ``options`` name its pixel range."""

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
        return image_files(dataset, self.annotations, dataset.image_size)


def read_split(options: Options, split: str) -> Split:
    """Reads and checks the annotations and local features of ``train`` or ``test``.

    Where images have more than 8 bits and ``dataset.pixel_range`` is null, it is measured on those
    of the training part.
    """
    dataset = options.dataset
    annotations = read_annotations(
        dataset.data_path,
        split,
        dataset.image_folder,
        empty_captions=dataset.empty_captions if split == "train" else 0,
    )
    _warn_of_implausible(annotations, Path(dataset.data_path))
    return Split(
        _with_pixel_range(options, annotations),
        annotations,
        _local_features(options, annotations.images, split),
    )


def _warn_of_implausible(annotations: Annotations, folder: Path) -> None:
    own = folder / f"{annotations.split}_caps.txt"
    warn_of_shift(annotations.captions, annotations.caption_to_image, own)
    test = folder / "test_filename.txt"
    if annotations.split == "train" and test.is_file():
        with contextlib.suppress(UserError):  # training does not need it
            warn_of_swap(annotations.images, read_lines(test), test)


def _with_pixel_range(options: Options, annotations: Annotations) -> Options:
    dataset, names = options.dataset, annotations.images
    training = Path(dataset.data_path, "train_filename.txt")
    if annotations.split != "train" and training.is_file():
        names = tuple(dict.fromkeys(read_lines(training)))
        with contextlib.suppress(UserError):  # testing does not need them
            names = tuple(image_names(names, dataset.image_folder, training))
    scaling = measured(Scaling.of(dataset), dataset.image_folder, names, dataset.data_path)
    dataset = dataset.model_copy(update={"pixel_range": scaling.pixel_range})
    return options.model_copy(update={"dataset": dataset})


def _local_features(options: Options, images: Sequence[str], split: str) -> LocalFeatures | None:
    path, drea = options.dataset.local_path, options.dataset.drea
    if path is None or not options.uses_local:
        return None
    if path == "zeros":
        return LocalFeatures.zeros(len(images), drea)
    movable = options.dataset.augment.move_objects and split == "train"
    return read_local_features(
        path, images, drea, movable=movable, digests=lambda: image_digests(options.dataset, images)
    )
