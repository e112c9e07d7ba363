"""Regions without a detector, where they cost a small part of the time."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from galr.common.errors import UserError
from galr.common.processes import cores
from galr.detectors.build import build_store
from galr.detectors.detect_segments import detect_segments
from galr.detectors.image_folder import ImageFolder, image_scaling
from galr.detectors.segments import find_regions
from galr.images.decoding import decode_image
from galr.local_features.numbering import read_classes
from galr.options import DreaOptions
from galr.preparation.own_data import Choices

TRIED = 6  # images that the time is estimated by
LARGEST_SHARE = 0.15  # of the whole time


class Found(NamedTuple):
    """classes: the pseudo-classes of the store, none where there is no store; why: in a line."""

    classes: list[str]
    why: str


def find_regions_in_time(
    images: Path, detections: Path, store: Path, seconds: float, choices: Choices
) -> Found:
    """Writes the store of local features, unless that would take too much of ``seconds``."""
    try:
        folder = ImageFolder(images)
        scaling = image_scaling(folder, choices.scaling)
        chosen = np.linspace(0, len(folder.names) - 1, TRIED).astype(int)
        started = time.monotonic()
        for index in np.unique(chosen):
            find_regions(decode_image(images / folder.names[index], scaling))
        each = (time.monotonic() - started) / len(np.unique(chosen))
        expected = each * len(folder.names) / cores()
        if expected > LARGEST_SHARE * seconds:
            return Found(
                [],
                f"no regions: extracting them would take about {expected:.0f} seconds, more "
                f"than {LARGEST_SHARE:.0%} of the time budget",
            )
        train = images.parent / "train_filename.txt"
        detect_segments(images, detections, fit_on=train, seed=choices.seed, scaling=scaling)
        classes = read_classes(detections / "classes.names")
        drea = DreaOptions(classes=tuple(classes))
        report = build_store("paddledet", [detections], images, store, drea)
    except UserError as error:
        return Found([], f"no regions: {error}")
    return Found(list(classes), f"{store}: {report.kept:,} regions in {report.images:,} images")
