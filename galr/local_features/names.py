"""Names of images in files of others: with their extension, with another, or without."""

from __future__ import annotations

from collections.abc import Sequence

# only these are cut off, so that ``scene.v2`` is not taken for ``scene``
EXTENSIONS = frozenset(
    (".bmp", ".gif", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
    + (".txt", ".xml", ".json")
)


def stem(name: str) -> str:
    """The name without the extension of an image or of a file of detections."""
    head, dot, tail = name.rpartition(".")
    return head if head and f"{dot}{tail}".lower() in EXTENSIONS else name


def shown(names: Sequence[str], what: str) -> str:
    """A few of ``names`` and how many ``what`` they are, for a line of text."""
    if len(names) == 1:
        return names[0]
    more = ", ..." if len(names) > 3 else ""
    return f"{len(names)} {what} ({', '.join(names[:3])}{more})"
