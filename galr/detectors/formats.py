"""Parses one line of a detector's text file into a record, for each format.

``paddledet``   class score xmin ymin width height       pixels; with eight coordinates: a polygon
``yolo``        class cx cy width height score           relative to the image, numeric class;
                class x1 y1 x2 y2 x3 y3 x4 y4 score      the oriented form
``dota``        image score x1 y1 ... x4 y4              Task1_<class>.txt, pixels
                image score xmin ymin xmax ymax          Task2_<class>.txt, pixels
"""

from __future__ import annotations

import re
from collections.abc import Callable

from galr.local_features.classes import ClassNames
from galr.local_features.records import BadEntry, Record, UnknownClass, around, numbers

TASK_FILE = re.compile(r"Task([12])_(.+)\.txt")


def paddledet_parser(classes: ClassNames) -> Callable[[str], Record]:
    """Reads lines of PaddleDetection's ``--save_txt``; class names may hold spaces."""

    def parse(line: str) -> Record:
        tokens = line.split()
        for coordinates in (4, 8):
            words = len(tokens) - coordinates - 1
            index = classes.find(" ".join(tokens[:words])) if words > 0 else None
            if index is not None:
                score, *corners = numbers(tokens[words:])
                if coordinates == 8:
                    return Record(index, score, around(corners))
                left, top, width, height = corners
                return Record(index, score, (left, top, left + width, top + height))
        raise _what_is_wrong(tokens, classes)

    return parse


def _what_is_wrong(tokens: list[str], classes: ClassNames) -> BadEntry:
    words = [n for n in range(1, len(tokens)) if classes.find(" ".join(tokens[:n])) is not None]
    if words:
        count = len(tokens) - words[-1]
        return BadEntry(
            f"expected score xmin ymin width height after the class, got {count} values"
        )
    name = " ".join(tokens[: max(len(tokens) - 5, 1)])
    return UnknownClass(f"there is no class {name!r} in the store's list of classes", name)


def yolo_parser(classes: ClassNames) -> Callable[[str], Record]:
    """Reads lines that ultralytics saves with ``save_txt=True save_conf=True``.

    ``classes.numbering`` defines the class numbers.
    """

    def parse(line: str) -> Record:
        tokens = line.split()
        if len(tokens) in (5, 9):
            raise BadEntry("there is no score; predict with save_conf=True")
        if len(tokens) not in (6, 10):
            raise BadEntry(
                f"expected class cx cy width height score, or class, eight coordinates and score, "
                f"got {len(tokens)} values"
            )
        number, *corners, score = numbers(tokens)
        index = classes.numbered(int(number) if number.is_integer() else number)
        if len(corners) == 8:
            return Record(index, score, around(corners))
        x, y, width, height = corners
        box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        return Record(index, score, box)

    return parse


def dota_parser(task: int, index: int) -> Callable[[str], tuple[str, Record]]:
    """Reads lines of a Task1 (polygons) or Task2 (boxes) file of one class, with their image."""
    coordinates = {1: 8, 2: 4}[task]

    def parse(line: str) -> tuple[str, Record]:
        # from the right, since a name may hold spaces
        image, *tokens = line.strip().rsplit(None, coordinates + 1)
        if len(tokens) != coordinates + 1:
            raise BadEntry(
                f"expected image, score and {coordinates} coordinates, got {len(tokens) + 1} values"
            )
        score, *corners = numbers(tokens)
        if task == 1:
            return image, Record(index, score, around(corners))
        left, top, right, bottom = corners
        return image, Record(index, score, (left, top, right, bottom))

    return parse
