"""The images that local features are built for."""

from __future__ import annotations

from pathlib import Path

from galr.common.errors import UserError
from galr.images.decoding import AS_IT_IS, image_size, measured
from galr.images.folder import list_images
from galr.images.scaling import Scaling
from galr.local_features.names import NameIndex
from galr.local_features.records import BadEntry


class ImageFolder:
    """The image files below a folder, in the order of their names."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.names = list(list_images(folder).names)
        self._index = NameIndex(self.names)

    def find(self, name: str) -> int:
        """The index of the image called ``name``; raises BadEntry unless there is exactly one."""
        rows = self._index.rows(name)
        if len(rows) == 1:
            return rows[0]
        if not rows:
            raise BadEntry(f"there is no image {name} in {self.folder}")
        raise BadEntry(f"{name} is ambiguous: {' or '.join(self.names[row] for row in rows)}")


def header_size(path: Path) -> tuple[int, int]:
    """Width and height of the upright image from the header; raises BadEntry if unreadable."""
    try:
        return image_size(path)
    except UserError as error:
        raise BadEntry(f"{path} cannot be opened as an image ({error.what})") from None


def image_scaling(images: ImageFolder, given: Scaling = AS_IT_IS) -> Scaling:
    """``given``, with the folder's pixel range if its images have more than 8 bits."""
    return measured(given, images.folder, images.names, images.folder)
