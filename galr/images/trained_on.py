"""The images that a model was trained on, told from others by their content."""

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
    """(I,) the digests by part that a checkpoint has ``stored`` for the names of ``images``.

    Parts that it does not know, as those of earlier versions, are left out.
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
    """How many images, by their digests, hold something else ``now``, and the name of one."""
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
    """How many of the ``test`` images were trained on or selected by, which a warning says.

    ``images`` and ``digests`` are of the parts of the training. Images are compared by content
    where digests are known, else by name. Another warning names images of the training of which
    the folder now holds others.
    """
    seen = np.isin(test, [name for part in images.values() for name in part])
    if digests:
        known = np.concatenate([*digests.values()])
        seen = np.isin(image_digests(options, test), known)
        names = [name for part in digests for name in images[part]]
        changed, compared = changed_images(options.image_folder, names, known)
        if changed:
            logger.warning(
                "%s: %d of %d images that it was trained on are others now in %s, for example %s",
                checkpoint, len(changed), compared, options.image_folder, changed[0],
            )  # fmt: skip
    if seen.any():
        logger.warning(
            "%s: %d of the %d test images were in its training, for example %s: are the parts "
            "swapped?", checkpoint, seen.sum(), len(test), test[int(seen.argmax())],
        )  # fmt: skip
    return int(seen.sum())
