"""The images that a model was trained on, identified by content."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galr.images.content import changed_images, image_digests
from galr.options import DatasetOptions

logger = logging.getLogger(__name__)

Digests = Mapping[str, NDArray[np.int64]]


def known_digests(
    stored: Any,  # noqa: ANN401 - whatever the file holds
    images: Mapping[str, Sequence[str]],
) -> Digests:
    """The digests (I,) by part that a checkpoint has ``stored`` for the names of ``images``.

    Parts without digests, as in checkpoints of earlier versions, are omitted.
    """
    found: dict[str, NDArray[np.int64]] = {}
    if not isinstance(stored, dict):
        return found
    for part, names in images.items():
        digests = np.asarray(stored.get(part))
        if digests.dtype == np.int64 and digests.shape == (len(names),):
            found[part] = digests
    return found


def first_difference(
    images: Mapping[str, Sequence[str]], then: Digests, now: Digests
) -> tuple[int, str] | None:
    """How many images have other digests ``now``, and the name of one."""
    names = [
        images[part][row]
        for part in images
        if part in then and part in now
        for row in np.flatnonzero(then[part] != now[part]).tolist()
    ]
    return (len(names), names[0]) if names else None


def trained_on(
    checkpoint: str | Path,
    options: DatasetOptions,
    test: Sequence[str],
    images: Mapping[str, Sequence[str]],
    digests: Digests,
) -> int:
    """How many ``test`` images were used for training or selection; warns if any.

    ``images``, ``digests``: those of the parts of the training. Images are compared by content if
    digests are known, else by name. Also warns if training images have changed in the folder.
    """
    seen = np.isin(test, [name for part in images.values() for name in part])
    if digests:
        known = np.concatenate([*digests.values()])
        seen = np.isin(image_digests(options, test), known)
        names = [name for part in digests for name in images[part]]
        changed, compared = changed_images(options.image_folder, names, known)
        if changed:
            logger.warning(
                "%s: %d of its %d training images have changed in %s, for example %s",
                checkpoint, len(changed), compared, options.image_folder, changed[0],
            )  # fmt: skip
    if seen.any():
        logger.warning(
            "%s: %d of the %d test images were used in its training, for example %s: are the parts "
            "swapped?", checkpoint, seen.sum(), len(test), test[int(seen.argmax())],
        )  # fmt: skip
    return int(seen.sum())
