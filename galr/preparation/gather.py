"""Rows in any order -> each image once, in one order, with all its captions."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import NamedTuple

from galr.common.errors import UserError
from galr.preparation.image_names import ImageNames
from galr.preparation.karpathy import Described
from galr.preparation.layouts.rows import Row

logger = logging.getLogger(__name__)


class LeftOut(NamedTuple):
    """An image, or a row, that takes no part, and why."""

    name: str
    why: str
    place: str


class Gathered(NamedTuple):
    """images: by name, each with its captions in alphabetical order, ``split`` "" where none is
    given; missing: rows whose image is not found; bare: images without a caption; empty: the
    captions that are missing of images that have others; unnamed: images that no row names."""

    images: list[Described]
    missing: list[LeftOut]
    bare: list[LeftOut]
    empty: int
    unnamed: list[str]


class _About:
    """What rows said of an image."""

    __slots__ = ("captions", "empty", "place", "split")

    def __init__(self, place: str) -> None:
        self.place = place
        self.split: str | None = None
        self.captions: list[str] = []
        self.empty = 0

    def add(self, name: str, other: Row | _About) -> None:
        if other.split is not None:
            if self.split not in (None, other.split):
                raise UserError(
                    other.place,
                    f"{name} is of split {other.split}, and at {self.place} of {self.split}",
                    "put each image in one split",
                )
            self.split = other.split
        filled = [caption for caption in other.captions if caption]
        self.captions += filled
        self.empty += len(other.captions) - len(filled)


def collect(rows: Iterable[Row]) -> dict[str, _About]:
    """What the rows say by the name that they give the image."""
    found: dict[str, _About] = {}
    for row in rows:
        about = found.get(row.name)
        if about is None:
            about = found[row.name] = _About(row.place)
        about.add(row.name, row)
    return found


def gather(found: dict[str, _About], names: ImageNames) -> Gathered:
    """The images of ``names`` that ``collect`` found, which is emptied.

    Raises UserError for an image of two splits.
    """
    of_file: dict[str, _About] = {}
    missing, empty, others = [], 0, {}
    count = len(found)
    for name in list(found):
        about = found.pop(name)
        try:
            file = names.find(name)
        except LookupError as error:
            missing.append(LeftOut(name or "(no name)", str(error), about.place))
            continue
        if file != name:
            others[name] = file
        if file in of_file:
            of_file[file].add(file, about)
        else:
            of_file[file] = about
    if others:
        name, file = next(iter(others.items()))
        logger.info(
            "%s: %d of %d images are found by names that differ, for example %s for %s",
            names.folder, len(others), count, ascii(file), ascii(name),
        )  # fmt: skip
    images, bare = [], []
    for file in sorted(of_file):
        about = of_file[file]
        if about.captions:
            empty += about.empty
            about.captions.sort()
            images.append(Described(file, about.split or "", tuple(about.captions)))
        else:
            bare.append(LeftOut(file, "has no caption", about.place))
    unnamed = [name for name in names.names if name not in of_file]
    return Gathered(images, missing, bare, empty, unnamed)
