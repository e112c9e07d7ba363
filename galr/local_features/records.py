"""Detections as read from files, before they are compared with the images."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

Box = tuple[float, float, float, float]  # left, top, right, bottom


class BadEntry(Exception):
    """The fault of a line or an entry."""


class UnknownClass(BadEntry):
    """The class of a line or an entry is not in the store."""

    def __init__(self, what: str, name: str) -> None:
        super().__init__(what)
        self.name = name


class Fault(NamedTuple):
    """A detection that cannot be used: its place and the reason."""

    place: str
    what: str
    unknown_class: str | None = None  # its name, if only the class is at fault

    @classmethod
    def of(cls, place: str, error: BadEntry) -> Fault:
        """The fault raised while reading the entry at ``place``."""
        return cls(place, str(error), error.name if isinstance(error, UnknownClass) else None)


class Record(NamedTuple):
    """A detection: class index, score, and box in the units of its format."""

    category: int
    score: float
    box: Box


class Found(NamedTuple):
    """Records of an image or a file, each with its place, and faults."""

    records: list[Record]
    places: list[tuple[str, int]]  # the parts of "file:line", joined where they are shown
    faults: list[Fault]

    @classmethod
    def nothing(cls) -> Found:
        """No records and no faults."""
        return cls([], [], [])


def shown_place(place: tuple[str, int]) -> str:
    """``("a.txt:", 3)`` -> ``a.txt:3``."""
    return f"{place[0]}{place[1]}"


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The non-blank lines of a text file, numbered from 1; raises BadEntry if not text."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        bad = error.object[: error.start].count(b"\n") + 1
        raise BadEntry(f"is not text: line {bad} is not UTF-8") from None
    except OSError as error:
        raise BadEntry(f"cannot be read ({error.strerror or error})") from None
    for number, line in enumerate(text.split("\n"), start=1):
        if line and not line.isspace():
            yield number, line


def read_records(path: Path, parse: Callable[[str], Record]) -> Found:
    """Reads a file; every non-blank line becomes a record or a fault."""
    found = Found.nothing()
    prefix = f"{path}:"
    try:
        for number, line in numbered_lines(path):
            try:
                found.records.append(parse(line))
                found.places.append((prefix, number))
            except BadEntry as error:
                found.faults.append(Fault.of(f"{path}:{number}", error))
    except BadEntry as error:
        found.faults.append(Fault(str(path), str(error)))
    return found


def numbers(tokens: Sequence[str]) -> list[float]:
    """Finite decimal numbers; raises BadEntry with the first token that is none."""
    try:
        values = list(map(float, tokens))
        # float() also reads 1_000 and the digits of other scripts
        plain = "_" not in (text := "".join(tokens)) and text.isascii()
    except ValueError:
        plain, values = False, []
    if not plain or not math.isfinite(sum(values)):
        raise BadEntry(f"{next(filter(_is_no_number, tokens), tokens[0])!r} is not a finite number")
    return values


def _is_no_number(token: str) -> bool:
    try:
        return "_" in token or not token.isascii() or not math.isfinite(float(token))
    except ValueError:
        return True


def around(corners: Sequence[float]) -> Box:
    """The box around a polygon x1 y1 x2 y2 ..."""
    return min(corners[::2]), min(corners[1::2]), max(corners[::2]), max(corners[1::2])
