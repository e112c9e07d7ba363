"""Which file of a folder the name of an image means, wherever it was written."""

from __future__ import annotations

import re
from pathlib import Path

from galr.images.folder import list_images
from galr.local_features.names import NameIndex

REMEDY = "name the folder of the images by --images"


def list_image_names(folder: Path) -> tuple[str, ...]:
    """The names of the images below ``folder``, relative to it with slashes, sorted."""
    return list_images(folder, REMEDY).names


class ImageNames:
    """Finds the file of a folder that a name from somewhere else means."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names = list_image_names(folder)
        self._index = NameIndex(self.names)

    def find(self, name: str) -> str:
        """The file that ``name`` means: itself, or the one that alone is nearly of that name.

        Raises LookupError, which says why, where there is none or more than one.
        """
        if not name:
            raise LookupError("names no image")
        # a number that a table program made 7.0 of, and Flickr8k's name.jpg#0
        for other in dict.fromkeys((name, re.sub(r"\.0$|#\d+$", "", name))):
            rows = self._index.rows(other)
            if len(rows) == 1:
                return self.names[rows[0]]
            if rows:
                meant = " or ".join(self.names[row] for row in rows[:3])
                raise LookupError(f"{name} may be {meant}")
        raise LookupError(f"there is no image {self.folder / name}")
