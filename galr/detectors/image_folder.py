"""The images that local features are built for."""

from __future__ import annotations

import logging
from pathlib import Path

from galr.common.errors import UserError
from galr.common.scaling import Scaling
from galr.data.images import AS_IT_IS, image_size, measured
from galr.local_features.names import IMAGE, NameIndex
from galr.local_features.records import BadEntry

logger = logging.getLogger(__name__)


class ImageFolder:
    """The image files of a folder, in the order of their names."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise UserError(folder, "there is no such folder", "name the images' folder")
        files = [path.name for path in self.folder.iterdir() if path.is_file()]
        self.names = sorted(name for name in files if IMAGE.search(name))
        if not self.names:
            raise UserError(
                folder, "holds no image files", "name the folder that the images lie in themselves"
            )
        strange = [name for name in self.names if not name.isprintable()]
        if strange:
            raise UserError(
                folder, f"holds a file named {strange[0]!r}", "rename it in letters that print"
            )
        others = len(files) - len(self.names)
        if others:
            logger.info("%s: %d files are no images and were left out", folder, others)
        self._index = NameIndex(self.names)

    def find(self, name: str) -> int:
        """The number of the image that ``name`` means; BadEntry where there is not just one."""
        rows = self._index.rows(name)
        if len(rows) == 1:
            return rows[0]
        if not rows:
            raise BadEntry(f"there is no image {name} in {self.folder}")
        raise BadEntry(f"{name} may be {' or '.join(self.names[row] for row in rows)}")


def header_size(path: Path) -> tuple[int, int]:
    """Width and height of the upright image by the file's header; BadEntry where it has none."""
    try:
        return image_size(path)
    except UserError as error:
        raise BadEntry(f"{path} cannot be opened as an image ({error.what})") from None


def image_scaling(images: ImageFolder, given: Scaling = AS_IT_IS) -> Scaling:
    """``given``, with the range of the folder's numbers where images have more than 8 bits."""
    return measured(given, images.folder, images.names, images.folder)
