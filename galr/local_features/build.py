"""A detector's files and a folder of images -> a store of local features, on all cores."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from galr.data.processes import cores, leave_interrupts_to_parent, starting_processes
from galr.errors import UserError
from galr.local_features.classes import ClassNames
from galr.local_features.detections import Detections, clip, faults
from galr.local_features.drea import build_local_features
from galr.local_features.image_folder import ImageFolder, image_size
from galr.local_features.reading import Format, Job, read_jobs
from galr.local_features.records import BadEntry, Fault, Found, shown_place
from galr.local_features.store import Origin, write_local_features
from galr.options import DreaOptions
from galr.progress import Progress

CHUNK = 100  # images that a process takes at a time
ALONE = 300  # up to so many images, starting processes takes longer than they save


@dataclass
class Report:
    """What a build read, used and left out."""

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
            f"{self.detections} detections: {self.kept} kept, {self.weak} below the lowest score, "
            f"{repeated} repeat a kept one or are beyond the most kept, "
            f"{len(self.left_out)} bad ones left out",
            f"{self.seconds:.1f} s, {self.images / max(self.seconds, 1e-9):.0f} images a second",
        ]
        return "\n".join(lines)


class _Built(NamedTuple):
    representation: NDArray[np.float32]
    adjacency: NDArray[np.float32]
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
    first_category: int | None = None,
) -> Report:
    """Writes the store ``out`` for all images of a folder; one without detections has zeros.

    Raises UserError naming the first bad detection by file and line, unless ``skip_bad`` leaves
    them out and lists them in the report.
    """
    report = Report()
    started = time.monotonic()
    folder = ImageFolder(images)
    jobs, strangers = read_jobs(kind, detections, folder, ClassNames(drea.classes), first_category)
    parts = [_Built(*_zeros(0, drea), len(strangers), 0, strangers)]
    parts += _in_parallel(jobs, kind, drea)
    report.images = len(jobs)
    report.detections = sum(part.detections for part in parts)
    report.weak = sum(part.weak for part in parts)
    report.left_out = [fault for part in parts for fault in part.faults]
    if report.left_out and not skip_bad:
        raise _first_of(report.left_out)
    representation = np.concatenate([part.representation for part in parts])
    adjacency = np.concatenate([part.adjacency for part in parts])
    origin = Origin(kind, tuple(map(str, detections)), str(images))
    write_local_features(
        out, folder.names, representation, adjacency, drea, f"{kind} detections", origin
    )
    report.seconds = time.monotonic() - started
    objects = np.einsum("inn->in", adjacency) > 0
    report.kept, report.with_objects = int(objects.sum()), int(objects.any(axis=1).sum())
    return report


def _zeros(images: int, drea: DreaOptions) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    n = drea.objects
    return (
        np.zeros((images, n, drea.features), dtype=np.float32),
        np.zeros((images, n, n), dtype=np.float32),
    )


def _first_of(bad: list[Fault]) -> UserError:
    more = f" (and {len(bad) - 1} more are bad)" if len(bad) > 1 else ""
    return UserError(
        bad[0].place, bad[0].what + more, "correct it, or leave out what is bad by --skip-bad"
    )


def _in_parallel(jobs: list[Job], kind: Format, drea: DreaOptions) -> Iterator[_Built]:
    chunks = [jobs[start : start + CHUNK] for start in range(0, len(jobs), CHUNK)]
    work = partial(_build, kind=kind, drea=drea)
    with Progress("local features", total=len(jobs), unit="images") as progress:
        if len(jobs) <= ALONE or cores() == 1:
            for chunk in chunks:
                yield work(chunk)
                progress.advance(len(chunk))
            return
        with (
            ProcessPoolExecutor(cores(), initializer=leave_interrupts_to_parent) as pool,
            starting_processes(),
        ):
            try:
                for built in pool.map(work, chunks):
                    progress.advance(len(built.representation))
                    yield built
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise


def _build(jobs: list[Job], *, kind: Format, drea: DreaOptions) -> _Built:
    classes = ClassNames(drea.classes)
    representation, adjacency = _zeros(len(jobs), drea)
    bad: list[Fault] = []
    read = weak = 0
    for row, job in enumerate(jobs):
        found = job.read(kind, classes)
        read += len(found.records) + len(found.faults)
        detections, problems = checked_detections(job, found, relative=kind == "yolo")
        bad += found.faults + problems
        if detections is not None:
            weak += int((detections.scores < drea.min_score).sum())
            representation[row], adjacency[row] = build_local_features(detections, drea)
    return _Built(representation, adjacency, read, weak, bad)


def checked_detections(
    job: Job, found: Found, *, relative: bool
) -> tuple[Detections | None, list[Fault]]:
    """The records that fit the image, and what is wrong with the others."""
    if not found.records:
        return None, []
    try:
        width, height = _size(job)
    except BadEntry as error:
        return None, [Fault(shown_place(place), str(error)) for place in found.places]
    index, scores, corners = zip(*found.records, strict=True)
    boxes = np.array(corners) * ([width, height, width, height] if relative else 1.0)
    problems = faults(np.array(scores), boxes, clip(boxes, width, height))
    good = problems == ""
    bad = [
        Fault(shown_place(found.places[row]), f"{problems[row]} ({width} x {height} pixels)")
        for row in np.flatnonzero(~good)
    ]
    if not good.any():
        return None, bad
    detections = Detections(
        width, height, np.array(index)[good], np.array(scores)[good], boxes[good]
    )
    return detections, bad


def _size(job: Job) -> tuple[int, int]:
    size = image_size(job.image)
    if job.size is not None and job.size != size:
        raise BadEntry(
            f"{job.image} has {size[0]} x {size[1]} pixels, and the list of images says "
            f"{job.size[0]} x {job.size[1]}"
        )
    return size
