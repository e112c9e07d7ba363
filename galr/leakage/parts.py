"""Overlap of a fold's parts and the test part, and the groups that folds keep together."""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from galr.common.errors import UserError
from galr.data.annotations import Annotations, read_annotations
from galr.leakage.hash_cache import image_hashes
from galr.leakage.hashes import has_near
from galr.leakage.ties import tie_together
from galr.options import DatasetOptions

logger = logging.getLogger(__name__)

MOST = 100_000  # images decoded for comparison; takes minutes, once
COMPARED = (("validation", "train"), ("validation", "test"), ("test", "train"))


def tied_images(options: DatasetOptions, annotations: Annotations) -> NDArray[np.int64]:
    """(I,) the group of each image: images that share a caption or look alike (``ties``)."""
    captions = itertools.groupby(
        sorted(zip(annotations.caption_to_image.tolist(), annotations.captions, strict=True)),
        key=lambda pair: pair[0],
    )
    ties = tie_together(
        [[text for _, text in own] for _, own in captions], image_hashes(options, annotations)
    )
    for line in ties.said:
        logger.info("k_fold.group_duplicates: %s", line)
    return ties.group


def shared(
    options: DatasetOptions, test: Annotations, images: Mapping[str, Sequence[str]]
) -> dict[str, float]:
    """Overlap of ``test`` and the parts of a fold, as far as these are known.

    ``images``: the image names of ``train`` and ``validation``. A_captions_in_B is the fraction of
    A's captions that occur verbatim in B, A_near_duplicates_in_B that of A's images that look like
    one of B (``hashes.NEAR``); omitted for unreadable images and for more than ``MOST``.
    """
    captions = {"test": test.captions}
    hashes: dict[str, NDArray[np.bool_]] = {}
    with contextlib.suppress(UserError):  # testing does not require the training part
        train = read_annotations(
            options.data_path, "train", options.image_folder, empty_captions=options.empty_captions
        )
        number = {image: index for index, image in enumerate(train.images)}
        rows = {
            part: np.array([number[image] for image in own if image in number], dtype=np.int64)
            for part, own in images.items()
        }
        captions |= {part: train.select(own).captions for part, own in rows.items()}
        if len(train.images) + len(test.images) > MOST:
            logger.info("more than %d images: not searched for near-duplicates", MOST)
        else:
            of_train, of_test = image_hashes(options, train), image_hashes(options, test)
            hashes = {"test": of_test} | {part: of_train[own] for part, own in rows.items()}
    found = {}
    for part, other in COMPARED:
        if {part, other} <= captions.keys():
            known = set(captions[other])
            found[f"{part}_captions_in_{other}"] = _mean([text in known for text in captions[part]])
        if {part, other} <= hashes.keys():
            near = has_near(hashes[part], hashes[other])
            found[f"{part}_near_duplicates_in_{other}"] = _mean(near)
    return found


def _mean(found: Sequence[bool] | NDArray[np.bool_]) -> float:
    return float(np.mean(found)) if len(found) else 0.0
