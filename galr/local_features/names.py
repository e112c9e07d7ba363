"""Matches image names in files of other tools: with another extension, or none."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property

# only these are removed, so that ``scene.v2`` is not taken for ``scene``
IMAGE = re.compile(r"(?i)\.(bmp|gif|j2k|jfif|jp2|jpe?g?|pgm|png|ppm|tiff?|webp)$")
_KNOWN = re.compile(rf"{IMAGE.pattern}|\.(txt|xml|json)$")


def stem(name: str) -> str:
    """The name without the extension of an image or a detection file."""
    return _KNOWN.sub("", name) or name


class NameIndex:
    """Finds entries by their exact name, or else by a similar one.

    That is one with the same stem; then one that differs in case, slash direction or Unicode form
    (NFKC); then one with the same end of the path, such as ``001`` for ``airport/001.jpg``.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self._exact = {name: row for row, name in enumerate(names)}
        self._by_stem: dict[str, list[int]] = defaultdict(list)
        for row, name in enumerate(names):
            self._by_stem[stem(name)].append(row)

    def rows(self, name: str) -> list[int]:
        """Rows that ``name`` may refer to: none, one, or several equally similar ones."""
        # x.tif and x.tif.txt match each other before either matches x
        for exact in (name, stem(name)):
            if exact in self._exact:
                return [self._exact[exact]]
        found = self._by_stem.get(name) or self._by_stem.get(stem(name))
        if found:
            return found
        folded = _folded(name)
        found = self._by_folded.get(folded) or self._by_folded.get(stem(folded))
        return found or self._by_end(stem(folded))

    @cached_property
    def _by_folded(self) -> dict[str, list[int]]:
        rows: dict[str, list[int]] = defaultdict(list)
        for row, name in enumerate(self.names):
            folded = _folded(name)
            for key in {folded, stem(folded)}:
                rows[key].append(row)
        return rows

    @cached_property
    def _by_last(self) -> dict[str, list[tuple[int, str]]]:
        rows: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for row, name in enumerate(self.names):
            path = stem(_folded(name))
            rows[path.rpartition("/")[2]].append((row, path))
        return rows

    def _by_end(self, path: str) -> list[int]:
        # airport/001 is not beach/001
        entries = self._by_last.get(path.rpartition("/")[2], [])
        shorter = [other for _, other in entries if f"/{path}".endswith(f"/{other}")]
        if shorter:
            return [row for row, other in entries if other == max(shorter, key=len)]
        return [row for row, other in entries if other.endswith(f"/{path}")]


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name.replace("\\", "/").casefold()).removeprefix("./")


def shown(names: Sequence[str], what: str) -> str:
    """A few of ``names`` and their number, for a message."""
    if len(names) == 1:
        return names[0]
    more = ", ..." if len(names) > 3 else ""
    return f"{len(names)} {what} ({', '.join(names[:3])}{more})"
