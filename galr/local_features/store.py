"""Local features of given images, from a store made with given options."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galr.common.errors import UserError
from galr.local_features.matrices import LocalFeatures
from galr.local_features.moving import differing_image
from galr.local_features.store_file import (
    BUILD,
    Origin,
    Store,
    read_store,
    write_local_features,
)
from galr.options import DreaOptions

__all__ = [
    "LocalFeatures",
    "Origin",
    "Store",
    "read_local_features",
    "read_store",
    "write_local_features",
]


def read_local_features(
    path: str | Path,
    images: Sequence[str],
    drea: DreaOptions,
    *,
    movable: bool = False,
    digests: Callable[[], NDArray[np.int64]] | None = None,
) -> LocalFeatures:
    """The local features of ``images`` (file names), in their order, made with options ``drea``.

    ``movable``: require boxes that ``moving`` can transform. ``digests`` returns those of the image
    files, and is called if the store has some to compare.

    An entry belongs to the image of its name or, if unambiguous, of its stem. Raises UserError for
    a file that is missing, damaged or made with other options, and for an image without an entry or
    whose entry belongs to another image of the same name.
    """
    store = read_store(path)
    _check_options(store, drea)
    rows = store.rows(images)
    features = store.features.select(rows)
    if digests is not None and store.digests is not None:
        _check_images(store, images, store.digests[rows] != digests())
    if movable:
        _check_movable(store, features, images, drea)
    return features


def _check_options(store: Store, drea: DreaOptions) -> None:
    if store.drea is None:
        shape = store.features.representation.shape[1:]
        if shape != (drea.objects, drea.features):
            raise UserError(
                store.path,
                f"holds {shape[0]} objects of {shape[1]} features per image, but "
                f"dataset.drea.objects and dataset.drea.classes imply {drea.objects} of "
                f"{drea.features}",
                f"set dataset.drea.objects={shape[0]} and {shape[1] - 5} classes",
            )
        return
    made_with, wanted = store.drea.model_dump(), drea.model_dump()
    differing = [key for key in wanted if made_with[key] != wanted[key]]
    if differing:
        told = ", ".join(
            f"dataset.drea.{key} is {_told(made_with[key])} in the store and {_told(wanted[key])} "
            "in the options"
            for key in differing
        )
        raise UserError(
            store.path,
            f"was made with other options: {told}",
            f"rebuild it with {BUILD} --path_opt and your options file, or set the options to "
            "those of the store",
        )


def _check_movable(
    store: Store, features: LocalFeatures, images: Sequence[str], drea: DreaOptions
) -> None:
    """Refuses matrices without known boxes."""
    remedy = "set dataset.augment.move_objects=false"
    if store.drea is None:
        raise UserError(
            store.path,
            "was converted from matrices only, so boxes cannot move with the image",
            f"build it from detections with {BUILD}, or {remedy}",
        )
    wrong = differing_image(features.representation, features.adjacency, drea)
    if wrong is not None:
        raise UserError(
            store.path,
            f"the adjacency of {images[wrong]} is not that of its boxes in a square image, so that "
            "they cannot move with it",
            f"build the store from detections in square images, with denoise, or {remedy}",
        )


def _check_images(store: Store, images: Sequence[str], differ: NDArray[np.bool_]) -> None:
    """Refuses entries made for other images of the same names."""
    if differ.any():
        example = images[int(differ.argmax())]
        raise UserError(
            store.path,
            f"was built for other images: {int(differ.sum())} of {len(images)} differ, for example "
            f"{example}",
            f"set dataset.image_path to their folder, or rebuild it with {BUILD}",
        )


def _told(value: Any) -> str:  # noqa: ANN401 - any option
    if isinstance(value, bool):
        return str(value).lower()
    return f"[{', '.join(value)}]" if isinstance(value, tuple) else str(value)
