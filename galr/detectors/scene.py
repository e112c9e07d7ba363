"""An image with its kept objects in a store and the dropped detections."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from galr.common.errors import UserError
from galr.detectors.build import checked_detections
from galr.detectors.image_folder import ImageFolder, image_scaling
from galr.detectors.inspect import StoredObject, class_name, objects_of
from galr.detectors.reading import FORMATS, Job, read_jobs
from galr.images.decoding import decode_image
from galr.local_features.classes import ClassNames
from galr.local_features.drea import kept_objects
from galr.local_features.records import BadEntry
from galr.local_features.store import Origin, Store

logger = logging.getLogger(__name__)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scene:
    """What is drawn for an image; ``dropped`` is None if the detections are unavailable."""

    name: str
    picture: Image.Image
    objects: list[StoredObject]
    labels: list[str]  # the class of each object
    adjacency: NDArray[np.float32]
    dropped: Floats | None  # boxes (M, 4) in pixels

    @property
    def caption(self) -> str:
        """Name and counts."""
        dropped = "" if self.dropped is None else f", {len(self.dropped)} detections dropped"
        return f"{self.name}: {len(self.objects)} objects kept{dropped}"


def read_scenes(
    store: Store,
    names: Sequence[str],
    images: str | None = None,
    kind: str | None = None,
    detections: Sequence[str] | None = None,
) -> list[Scene]:
    """The scenes of some images; what is not given is read from where the store was built.

    Raises UserError for images missing from the store or the folder.
    """
    origin = store.origin or Origin("", (), "")
    folder = images or origin.images
    if not folder:
        raise UserError(store.path, "does not record its image folder", "give it with --images")
    if (kind is None) != (detections is None):
        raise UserError("--format and --detections", "belong together", "give both or neither")
    # moved files keep the numbering that the store was built with
    numbering = origin.numbering if kind in (None, origin.format) else None
    origin = Origin(
        kind or origin.format, tuple(detections or origin.detections), folder, numbering
    )
    files = ImageFolder(folder)
    jobs = _jobs(store, origin, files)
    scaling = image_scaling(files)
    scenes = []
    for name in names:
        row = store.row(name)
        stored = store.names[row]
        objects = objects_of(store, row)
        try:
            image = files.names[files.find(stored)]
        except BadEntry as error:
            raise UserError(name, str(error), "give the image folder with --images") from None
        job = jobs.get(image)
        scenes.append(
            Scene(
                image,
                decode_image(files.folder / image, scaling),
                objects,
                [class_name(store, entry.category) for entry in objects],
                store.features.adjacency[row],
                _dropped(store, origin, job),
            )
        )
    return scenes


def _jobs(store: Store, origin: Origin, files: ImageFolder) -> dict[str, Job]:
    """By image name; empty if the detections are gone."""
    if store.drea is None or origin.format not in FORMATS:
        return {}
    try:
        classes = ClassNames(store.drea.classes, origin.numbering)
        jobs, _ = read_jobs(origin.format, origin.detections, files, classes)
    except UserError as error:
        logger.warning("%s: dropped detections are not drawn", error)
        return {}
    return dict(zip(files.names, jobs, strict=True))


def _dropped(store: Store, origin: Origin, job: Job | None) -> Floats | None:
    if job is None or store.drea is None or origin.format not in FORMATS:
        return None
    found = job.read(origin.format, ClassNames(store.drea.classes, origin.numbering))
    detections, _ = checked_detections(job, found, relative=origin.format == "yolo")
    if detections is None:
        return np.zeros((0, 4))
    *_, kept = kept_objects(detections, store.drea)
    dropped: Floats = np.delete(detections.boxes, kept, axis=0)
    return dropped
