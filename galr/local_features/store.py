"""Local features of given images, from a store that was made with given options."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from galr.common.errors import UserError
from galr.local_features.moving import differing_image
from galr.local_features.store_file import (
    BUILD,
    LocalFeatures,
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
    path: str | Path, images: Sequence[str], drea: DreaOptions, *, movable: bool = False
) -> LocalFeatures:
    """The local features of ``images`` (file names), in their order, made with options ``drea``.

    ``movable``: with boxes that ``moving`` can move.

    An entry belongs to the image of its name or, where that is unambiguous, of its stem. Raises
    UserError for a file that is missing, damaged or made with other options, and for an image
    without an entry.
    """
    store = read_store(path)
    _check_options(store, drea)
    features = store.features.select(store.rows(images))
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
    """Refuses matrices that no boxes are known of."""
    remedy = "set dataset.augment.move_objects=false"
    if store.drea is None:
        raise UserError(
            store.path,
            "was converted from matrices alone, so that boxes cannot move with the image",
            f"build it from detections by {BUILD}, or {remedy}",
        )
    wrong = differing_image(features.representation, features.adjacency, drea)
    if wrong is not None:
        raise UserError(
            store.path,
            f"the adjacency of {images[wrong]} is not that of its boxes in a square image, so that "
            "they cannot move with it",
            f"build the store from detections in square images, with denoise, or {remedy}",
        )


def _told(value: Any) -> str:  # noqa: ANN401 - any option
    if isinstance(value, bool):
        return str(value).lower()
    return f"[{', '.join(value)}]" if isinstance(value, tuple) else str(value)
