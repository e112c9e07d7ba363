"""A detector's files as jobs of a build, one per image."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from galr.common.errors import UserError
from galr.detectors.coco import Size, read_coco
from galr.detectors.detection_folder import UNFINISHED
from galr.detectors.formats import TASK_FILE, dota_parser, paddledet_parser, yolo_parser
from galr.detectors.image_folder import ImageFolder
from galr.images.folder import list_files
from galr.local_features.classes import ClassNames
from galr.local_features.numbering import CHOICES
from galr.local_features.records import (
    BadEntry,
    Fault,
    Found,
    Record,
    numbered_lines,
    read_records,
    shown_place,
)

logger = logging.getLogger(__name__)

Format = Literal["paddledet", "yolo", "dota", "coco"]
FORMATS: tuple[Format, ...] = get_args(Format)

_PARSERS: dict[str, Callable[[ClassNames], Callable[[str], Record]]] = {
    "paddledet": paddledet_parser,
    "yolo": yolo_parser,
}
NUMBERED: tuple[Format, ...] = ("yolo", "coco")  # formats that may contain class numbers


class Job(NamedTuple):
    """An image and its detections: records, or a text file that is yet to be read."""

    image: Path
    file: Path | None = None
    found: Found | None = None
    size: Size = None  # stated by the detection files, checked against the image

    def read(self, kind: Format, classes: ClassNames) -> Found:
        """The detections of the image."""
        if self.file is not None:
            return read_records(self.file, _PARSERS[kind](classes))
        return self.found or Found.nothing()


def read_jobs(
    kind: Format,
    detections: Sequence[str | Path],
    images: ImageFolder,
    classes: ClassNames,
) -> tuple[list[Job], list[Fault]]:
    """A job for every image in ``images``, and detections that belong to none.

    ``detections`` is a folder or a file, with ``coco`` also the results and the list of images.
    Raises UserError for class numbers that ``classes.numbering`` does not define.
    """
    paths = [Path(path) for path in detections]
    for path in paths:
        if not path.exists():
            raise UserError(path, "there is no such file or folder", "correct --detections")
        if (path / UNFINISHED).exists():
            raise UserError(path, "is from an interrupted detection", "run detect again first")
    if len(paths) > (2 if kind == "coco" else 1):
        raise UserError(
            "--detections",
            f"got {len(paths)} paths, but format {kind} takes one",
            "name one folder or file",
        )
    if classes.numbering is not None and kind not in NUMBERED:
        raise UserError(
            "--classes",
            f"defines class numbers, but format {kind} has class names",
            "omit it; --store-classes lists the classes of the store",
        )
    if kind == "coco":
        return _coco_jobs(paths, images, classes)
    files = _text_files(paths[0])
    if kind == "dota":
        return _dota_jobs(files, images, classes)
    if kind == "yolo" and classes.numbering is None:
        raise UserError(
            paths[0],
            "contains class numbers whose meaning is not defined",
            f"define it with --classes: {CHOICES}",
        )
    return _image_jobs(paths[0], files, images)


def _text_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    files = [path / name for name in list_files(path).names if name.lower().endswith(".txt")]
    if not files:
        raise UserError(path, "contains no .txt files", "name the detector's output folder")
    return files


def _image_jobs(
    folder: Path, files: list[Path], images: ImageFolder
) -> tuple[list[Job], list[Fault]]:
    """Formats with one file per image."""
    of_image: dict[int, Path] = {}
    strangers: list[Fault] = []
    for file in files:
        try:
            name = file.name if file == folder else file.relative_to(folder).as_posix()
            row = images.find(name)
            if row in of_image:
                raise BadEntry(f"{of_image[row]} belongs to the same image, {images.names[row]}")
            of_image[row] = file
        except BadEntry as error:
            strangers += _all_lines(file, error)
    jobs = [
        Job(images.folder / name, file=of_image.get(row)) for row, name in enumerate(images.names)
    ]
    return jobs, strangers


def _all_lines(file: Path, what: BadEntry) -> list[Fault]:
    """A fault for each line; an empty file has none."""
    try:
        return [Fault.of(f"{file}:{number}", what) for number, _ in numbered_lines(file)]
    except BadEntry as error:
        return [Fault(str(file), str(error))]


def _dota_jobs(
    files: list[Path], images: ImageFolder, classes: ClassNames
) -> tuple[list[Job], list[Fault]]:
    by_image: dict[int, Found] = {}
    strangers: list[Fault] = []
    rows: dict[str, int] = {}
    tasks: dict[int, str] = {}  # of each class, as seen first
    for file in files:
        try:
            name = TASK_FILE.fullmatch(file.name)
            if name is None:
                raise BadEntry("is not named Task1_<class>.txt or Task2_<class>.txt")
            index = classes.named(name[2])
        except BadEntry as error:
            strangers += _all_lines(file, error)
            continue
        if tasks.setdefault(index, name[1]) != name[1]:
            logger.warning(
                "%s: class %s is in files of both tasks; objects in both are read twice",
                file,
                name[2],
            )
        parse = dota_parser(int(name[1]), index)
        try:
            for number, line in numbered_lines(file):
                place = (f"{file}:", number)
                try:
                    image, record = parse(line)
                    row = rows[image] if image in rows else images.find(image)
                except BadEntry as error:
                    strangers.append(Fault(shown_place(place), str(error)))
                    continue
                rows[image] = row
                found = by_image.setdefault(row, Found.nothing())
                found.records.append(record)
                found.places.append(place)
        except BadEntry as error:
            strangers.append(Fault(str(file), str(error)))
    jobs = [
        Job(images.folder / image, found=by_image.get(row))
        for row, image in enumerate(images.names)
    ]
    return jobs, strangers


def _coco_jobs(
    paths: list[Path], images: ImageFolder, classes: ClassNames
) -> tuple[list[Job], list[Fault]]:
    results = paths[0] / "results.json" if paths[0].is_dir() else paths[0]
    listed = paths[1] if len(paths) == 2 else results.with_name("images.json")
    files = read_coco(results, listed, classes)
    jobs = [Job(images.folder / name) for name in images.names]
    strangers = list(files.faults)
    for key, found in files.found.items():
        image = files.images[key]
        try:
            row = images.find(image.file_name)
            if jobs[row].found is not None:
                raise BadEntry(f"{image.file_name} is listed twice in the list of images")
            jobs[row] = Job(jobs[row].image, found=found, size=image.size)
        except BadEntry as error:
            strangers += [Fault(shown_place(place), str(error)) for place in found.places]
    return jobs, strangers
