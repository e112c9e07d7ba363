"""Maps a detection's class name or number to the store's list of classes."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galr.local_features.records import BadEntry, UnknownClass


class ClassNames:
    """Finds classes by name, ignoring case, ``-``, ``_`` and spaces.

    If names in the list differ only in these, the exact spelling is required. ``numbering`` gives
    the name of a number (or another id) in the detections; None: they only contain names.
    """

    def __init__(self, classes: Sequence[str], numbering: Mapping[Any, str] | None = None) -> None:
        self.classes = tuple(classes)
        self.numbering = numbering
        self._exact = {name: index for index, name in enumerate(classes)}
        folded = [_folded(name) for name in classes]
        self._folded = {name: index for index, name in enumerate(folded) if folded.count(name) == 1}

    def find(self, name: str) -> int | None:
        """The index of the class, None if there is none."""
        index = self._exact.get(name)
        if index is None:
            index = self._folded.get(_folded(name))
            if index is not None:  # the next line will be spelled the same
                self._exact[name] = index
        return index

    def named(self, name: str) -> int:
        """The index of the class; raises UnknownClass if the store has none of that name."""
        index = self.find(name)
        if index is None:
            raise UnknownClass(f"there is no class {name!r} in the store's list of classes", name)
        return index

    def numbered(self, number: float | str) -> int:
        """The index of the class with ``number`` in the detections.

        Raises BadEntry for a number without a name, UnknownClass for a name without a class.
        """
        numbering = self.numbering or {}
        name = numbering.get(number)
        if name is None:
            raise BadEntry(
                f"there is no class {number} in the numbering of {len(numbering)} classes"
            )
        index = self.find(name)
        if index is None:
            raise UnknownClass(
                f"class {number} is {name!r}, and there is no such class in the store's list", name
            )
        return index


@functools.cache
def class_names(classes: tuple[str, ...]) -> ClassNames:
    """A finder, cached by list, since every image asks."""
    return ClassNames(classes)


def _folded(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().lower()


def class_indices(
    classes: Sequence[str] | NDArray[np.int64], known: Sequence[str]
) -> NDArray[np.int64]:
    """Names (M), or indices found before -> indices (M,) into ``known``.

    Raises ValueError for names that are not in ``known``.
    """
    if isinstance(classes, np.ndarray):
        return classes
    names = class_names(tuple(known))
    rows = [names.find(name) for name in classes]
    for name, row in zip(classes, rows, strict=True):
        if row is None:
            raise ValueError(f"there is no class {name} among {', '.join(known)}")
    return np.array(rows, dtype=np.int64)


def stated_names(
    classes: Sequence[int] | Sequence[str] | NDArray[np.int64],
    numbering: Sequence[str] | Mapping[int, str] | None,
) -> list[str] | NDArray[np.int64]:
    """Names, or numbers with their ``numbering`` -> names; raises ValueError for others.

    Without ``numbering``, numbers are kept: indices into the options' list of classes.
    """
    found = np.asarray(classes)
    if found.dtype.kind in "UO" or len(found) == 0:
        return [str(name) for name in found]
    if found.dtype.kind not in "iu":
        raise ValueError(f"classes must be names or numbers, got {found.dtype}")
    if numbering is None:
        return found.astype(np.int64)
    known = numbering if isinstance(numbering, Mapping) else dict(enumerate(numbering))
    strange = sorted({*found.tolist()} - {*known})
    if strange:
        raise ValueError(f"there is no class {strange[0]} in a numbering of {len(known)} classes")
    return [known[number] for number in found.tolist()]
