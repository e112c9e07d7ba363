"""Whether a store of local features fits the images and options that it is read for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from galr.common.errors import UserError
from galr.local_features.moving import differing_image
from galr.local_features.names import NameIndex, shown
from galr.options import DreaOptions

if TYPE_CHECKING:
    from galr.local_features.store import LocalFeatures, Store

BUILD = "python -m galr.local_features build"


def check_options(store: Store, drea: DreaOptions) -> None:
    """Refuses a store that was made with other options or, where unknown, is of another shape."""
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


def check_movable(
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


def check_images(store: Store, images: Sequence[str], differ: NDArray[np.bool_]) -> None:
    """Refuses entries that were made for other images of the same names."""
    if differ.any():
        example = images[int(differ.argmax())]
        raise UserError(
            store.path,
            f"was built for other images: {int(differ.sum())} of {len(images)} differ, for example "
            f"{example}",
            f"name their folder by dataset.image_path, or rebuild it with {BUILD}",
        )


def _told(value: Any) -> str:  # noqa: ANN401 - any option
    if isinstance(value, bool):
        return str(value).lower()
    return f"[{', '.join(value)}]" if isinstance(value, tuple) else str(value)


def matched_rows(store: Store, images: Sequence[str]) -> list[int]:
    """The entries of ``images``; UserError where one has none, or may have several."""
    index = NameIndex(store.names)
    candidates = [index.rows(image) for image in images]
    missing = [image for image, rows in zip(images, candidates, strict=True) if not rows]
    if missing:
        raise UserError(
            store.path,
            f"has no entry for {shown(missing, 'images')}",
            "build the store from a folder with all images",
        )
    taken: dict[int, str] = {}
    for image, rows in zip(images, candidates, strict=True):
        names = [store.names[row] for row in rows]
        if len(rows) > 1:
            raise UserError(
                store.path,
                f"{image} may be {' or '.join(names)}",
                "build the store with the image names of the annotations",
            )
        if taken.setdefault(rows[0], image) != image:
            raise UserError(
                store.path,
                f"its entry {names[0]} may be of {taken[rows[0]]} or of {image}",
                "build the store with the image names of the annotations",
            )
    return [rows[0] for rows in candidates]
