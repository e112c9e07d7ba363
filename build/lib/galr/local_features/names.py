"""Names of images in files of others: with their extension, with another, or without."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

# only these are cut off, so that ``scene.v2`` is not taken for ``scene``
IMAGE = re.compile(r"(?i)\.(bmp|gif|jp2|jpe?g|pgm|png|ppm|tiff?|webp)$")
_KNOWN = re.compile(rf"{IMAGE.pattern}|\.(txt|xml|json)$")


def stem(name: str) -> str:
    """The name without the extension of an image or of a file of detections."""
    return _KNOWN.sub("", name) or name


class NameIndex:
    """Finds entries by their exact name or, where one alone has it, by their stem."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self._exact = {name: row for row, name in enumerate(names)}
        self._by_stem: dict[str, list[int]] = defaultdict(list)
        for row, name in enumerate(names):
            self._by_stem[stem(name)].append(row)

    def rows(self, name: str) -> list[int]:
        """Rows that ``name`` may mean: none, one, or several of the same stem."""
        # x.tif and x.tif.txt mean each other before either means x
        for exact in (name, stem(name)):
            if exact in self._exact:
                return [self._exact[exact]]
        return self._by_stem.get(name) or self._by_stem.get(stem(name), [])


def shown(names: Sequence[str], what: str) -> str:
    """A few of ``names`` and how many ``what`` they are, for a line of text."""
    if len(names) == 1:
        return names[0]
    more = ", ..." if len(names) > 3 else ""
    return f"{len(names)} {what} ({', '.join(names[:3])}{more})"
