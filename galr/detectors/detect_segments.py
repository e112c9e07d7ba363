"""Detections without a detector: regions that stand out, with pseudo-classes."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

import numpy as np

from galr.common.errors import UserError
from galr.common.parallel import in_processes
from galr.detectors.codebook import Codebook, fit_codebook
from galr.detectors.detection_folder import DetectionFolder, Written, detection_line
from galr.detectors.image_folder import ImageFolder, image_scaling
from galr.detectors.segments import Regions, find_regions
from galr.images.decoding import AS_IT_IS, decode_image
from galr.images.scaling import Scaling
from galr.local_features.names import NameIndex, shown

logger = logging.getLogger(__name__)


def detect_segments(
    images: str | Path,
    out: str | Path,
    codebook: str | Path | None = None,
    fit_on: str | Path | None = None,
    classes: int = 15,
    seed: int = 0,
    scaling: Scaling = AS_IT_IS,
) -> Written:
    """Regions that stand out, with pseudo-classes, for every image of a folder.

    Pseudo-classes come from ``codebook`` if that file exists; else they are fitted on the images
    listed in ``fit_on`` (default: ``train_filename.txt`` beside the folder of the images, else all
    images) and written to ``codebook`` (default: inside ``out``).
    """
    folder = ImageFolder(images)
    known = Codebook.load(codebook) if codebook is not None and Path(codebook).exists() else None
    if known is not None and fit_on is not None:
        raise UserError(
            str(codebook), "exists already, but --fit-on is given", "give only one of them"
        )
    chosen = None if known is not None else _training_images(folder, fit_on)
    with DetectionFolder(out, folder) as writer:
        paths = [folder.folder / name for name in folder.names]
        regions = list(
            in_processes(
                partial(_regions, image_scaling(folder, scaling)),
                paths,
                "segments",
                chunk=8,
                alone=4,
            )
        )
        if known is None:
            descriptors = [regions[row].descriptors for row in chosen or range(len(regions))]
            known = fit_codebook(np.concatenate(descriptors), classes, seed)
            known.save(codebook or Path(out) / "codebook.npz")
        writer.write_classes(known.classes)
        for name, found in zip(folder.names, regions, strict=True):
            kinds = known.assign(found.descriptors)
            writer.write(
                name,
                [
                    detection_line(known.classes[kind], score, box)
                    for kind, score, box in zip(kinds, found.scores, found.boxes, strict=True)
                ],
            )
        return writer.finish()


def _training_images(folder: ImageFolder, fit_on: str | Path | None) -> list[int] | None:
    """Rows of the images that pseudo-classes are fitted on; None: all."""
    if fit_on is None:
        beside = folder.folder.resolve().parent / "train_filename.txt"
        if not beside.is_file():
            logger.warning(
                "fitting pseudo-classes on all images of %s; list the training images with "
                "--fit-on to exclude test images",
                folder.folder,
            )
            return None
        fit_on = beside
    try:
        listed = Path(fit_on).read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(fit_on, f"cannot be read ({error})", "list one image per line") from None
    names = list(dict.fromkeys(line.strip() for line in listed if line.strip()))
    index = NameIndex(folder.names)
    rows = [index.rows(name) for name in names]
    missing = [name for name, found in zip(names, rows, strict=True) if len(found) != 1]
    if missing or not names:
        raise UserError(
            fit_on,
            f"lists images that are not in {folder.folder}: {shown(missing, 'images')}"
            if names
            else "lists no images",
            "list images of the folder, one a line",
        )
    logger.info("fitting pseudo-classes on the %d images of %s", len(names), fit_on)
    return [found[0] for found in rows]


def _regions(scaling: Scaling, path: Path) -> Regions:
    return find_regions(decode_image(path, scaling))
