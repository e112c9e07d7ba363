"""Builds a store of local features from a detector's files and a folder of images."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from galr.common.errors import UserError
from galr.common.parallel import in_processes
from galr.detectors.image_folder import ImageFolder, header_size
from galr.detectors.reading import Format, Job, read_jobs
from galr.detectors.verify import detections_digest
from galr.images.content import image_contents
from galr.local_features.classes import ClassNames
from galr.local_features.detections import Detections, clip, faults
from galr.local_features.drea import build_local_features
from galr.local_features.numbering import Numbering
from galr.local_features.records import BadEntry, Fault, Found, shown_place
from galr.local_features.store import Origin, write_local_features
from galr.options import DreaOptions

CHUNK = 100  # images per task of a process
MOST_CLASSES = 30  # classes that a report lists by name
ALONE = 300  # for fewer images, starting processes takes longer than it saves


@dataclass
class Report:
    """What a build read, used and skipped."""

    images: int = 0
    with_objects: int = 0
    detections: int = 0
    weak: int = 0  # below the lowest score
    kept: int = 0
    left_out: list[Fault] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        repeated = self.detections - len(self.left_out) - self.weak - self.kept
        lines = [
            f"{self.images} images, {self.with_objects} with objects; "
            f"{self.detections} detections: {self.kept} kept, {self.weak} below the minimum score, "
            f"{repeated} duplicates or beyond the maximum number, "
            f"{len(self.left_out)} invalid ones skipped",
            *self._unknown_classes(),
            f"{self.seconds:.1f} s, {self.images / max(self.seconds, 1e-9):.0f} images/s",
        ]
        return "\n".join(lines)

    def _unknown_classes(self) -> list[str]:
        names = Counter(fault.unknown_class for fault in self.left_out if fault.unknown_class)
        counts = [f"{name} {count}" for name, count in names.most_common(MOST_CLASSES)]
        more = ", ..." if len(names) > MOST_CLASSES else ""
        return [f"of classes not in the store: {', '.join(counts)}{more}"] * bool(names)


class _Built(NamedTuple):
    matrices: tuple[NDArray[np.float32], NDArray[np.float32]] | None  # None: zeros
    detections: int
    weak: int
    faults: list[Fault]


def build_store(
    kind: Format,
    detections: Sequence[str | Path],
    images: str | Path,
    out: str | Path,
    drea: DreaOptions,
    *,
    skip_bad: bool = False,
    numbering: Numbering | None = None,
) -> Report:
    """Writes the store ``out`` for all images of a folder; images without detections get zeros.

    ``numbering``: the names of class numbers in the detections. Raises UserError if it is required
    but missing, and for the first invalid detection, with file and line, unless ``skip_bad`` skips
    invalid ones and lists them in the report.
    """
    report = Report()
    started = time.monotonic()
    folder = ImageFolder(images)
    classes = ClassNames(drea.classes, numbering)
    jobs, strangers = read_jobs(kind, detections, folder, classes)
    representation = np.zeros((len(jobs), drea.objects, drea.features), dtype=np.float32)
    adjacency = np.zeros((len(jobs), drea.objects, drea.objects), dtype=np.float32)
    report.images, report.detections, report.left_out = len(jobs), len(strangers), strangers
    work = partial(_build, kind=kind, drea=drea, classes=classes)
    done = in_processes(work, jobs, "local features", chunk=CHUNK, alone=ALONE)
    for row, built in enumerate(done):
        if built.matrices is not None:
            representation[row], adjacency[row] = built.matrices
        report.detections += built.detections
        report.weak += built.weak
        report.left_out += built.faults
    if report.left_out and not skip_bad:
        raise _first_of(report.left_out)
    origin = Origin(
        kind, tuple(map(str, detections)), str(images), numbering, detections_digest(detections)
    )
    write_local_features(
        out, folder.names, representation, adjacency, drea, f"{kind} detections", origin,
        image_contents(folder.folder, folder.names).digests,
    )  # fmt: skip
    report.seconds = time.monotonic() - started
    objects = np.einsum("inn->in", adjacency) > 0
    report.kept, report.with_objects = int(objects.sum()), int(objects.any(axis=1).sum())
    return report


def _first_of(bad: list[Fault]) -> UserError:
    more = f" (and {len(bad) - 1} more are invalid)" if len(bad) > 1 else ""
    return UserError(
        bad[0].place, bad[0].what + more, "correct it, or skip invalid entries with --skip-bad"
    )


def _build(job: Job, *, kind: Format, drea: DreaOptions, classes: ClassNames) -> _Built:
    found = job.read(kind, classes)
    detections, problems = checked_detections(job, found, relative=kind == "yolo")
    read, bad = len(found.records) + len(found.faults), found.faults + problems
    if detections is None:
        return _Built(None, read, 0, bad)
    weak = int((detections.scores < drea.min_score).sum())
    return _Built(build_local_features(detections, drea), read, weak, bad)


def checked_detections(
    job: Job, found: Found, *, relative: bool
) -> tuple[Detections | None, list[Fault]]:
    """The valid records of an image, and the faults of the others."""
    if not found.records:
        return None, []
    try:
        width, height = _size(job)
    except BadEntry as error:
        return None, [Fault(shown_place(place), str(error)) for place in found.places]
    index, scores, corners = zip(*found.records, strict=True)
    boxes = np.array(corners) * ([width, height, width, height] if relative else 1.0)
    clipped, score = clip(boxes, width, height), np.array(scores)
    problems = faults(score, boxes, clipped)
    good = problems == ""
    bad = [
        Fault(shown_place(found.places[row]), f"{problems[row]} ({width} x {height} pixels)")
        for row in np.flatnonzero(~good)
    ]
    kinds = np.array(index, dtype=np.int64)[good]
    return Detections.of_checked((width, height), kinds, score[good], clipped[good]), bad


def _size(job: Job) -> tuple[int, int]:
    size = header_size(job.image)
    if job.size is not None and job.size != size:
        raise BadEntry(
            f"{job.image} has {size[0]} x {size[1]} pixels, but "
            f"{job.size[0]} x {job.size[1]} in the list of images"
        )
    return size
