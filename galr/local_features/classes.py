"""The classes of a detector: their list, and names that mean one of it."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from galr.errors import UserError


class ClassNames:
    """Finds classes by name; capitals, ``-``, ``_`` and spaces make no difference between names.

    Where they do make one in the list itself, a name must be written as it is there.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        self._exact = {name: index for index, name in enumerate(classes)}
        folded = [_folded(name) for name in classes]
        self._folded = {name: index for index, name in enumerate(folded) if folded.count(name) == 1}

    def find(self, name: str) -> int | None:
        """The index of the class, None where there is none."""
        index = self._exact.get(name)
        if index is None:
            index = self._folded.get(_folded(name))
            if index is not None:  # the next line will have the same spelling
                self._exact[name] = index
        return index


@functools.cache
def class_names(classes: tuple[str, ...]) -> ClassNames:
    """The same finder for the same list, since every image asks."""
    return ClassNames(classes)


def _folded(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().lower()


def class_indices(
    classes: Sequence[int] | Sequence[str] | NDArray[np.int64], known: Sequence[str]
) -> NDArray[np.int64]:
    """Indices or names (M) -> indices (M,) into ``known``; ValueError for others."""
    found = np.asarray(classes)
    if found.dtype.kind in "UO":
        names = class_names(tuple(known))
        rows = [names.find(str(name)) for name in found]
        for name, row in zip(found, rows, strict=True):
            if row is None:
                raise ValueError(f"there is no class {name} among {', '.join(known)}")
        return np.array(rows, dtype=np.int64)
    if len(found) and found.dtype.kind not in "iu":
        raise ValueError(f"classes must be indices or names, got {found.dtype}")
    indices = found.astype(np.int64)
    if ((indices < 0) | (indices >= len(known))).any():
        raise ValueError(f"classes must be from 0 to {len(known) - 1}, got {indices.tolist()}")
    return indices


def read_classes(path: str | Path) -> tuple[str, ...]:
    """The classes in a text file, one a line; UserError naming the line that is wrong."""
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise UserError(path, "there is no such file", "give a file with a class a line") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(path, f"cannot be read ({error})", "give a text file") from None
    classes: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        name = line.strip()
        if name in classes:
            raise UserError(
                f"{path}:{number}",
                f"the class {name} stands in line {classes[name]} already",
                "delete one of them",
            )
        if name:
            classes[name] = number
    if not classes:
        raise UserError(path, "holds no class", "write the detector's classes, one a line")
    return tuple(classes)
