"""Images that come inside the file of their captions, and are written to a folder."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from PIL import Image

from galr.common.atomic import atomic_path
from galr.common.errors import UserError
from galr.local_features.names import IMAGE
from galr.preparation.layouts.rows import Columns, Row
from galr.preparation.layouts.tables import open_parquet, parquet_records

ROWS_AT_A_TIME = 64  # of images, which are large


class EmbeddedImages:
    """Writes images to a folder, each name once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._digests: dict[str, bytes] = {}

    def write(self, name: str, content: bytes, source: Path) -> str:
        """Returns the name with single slashes.

        Raises UserError for a name that leads out of the folder, or that another image has.
        """
        inside = PurePosixPath(name)
        place = f"{source}: {name}"
        if inside.is_absolute() or ".." in inside.parts:
            raise UserError(place, "leads out of the folder", "name it without ..")
        digest = hashlib.sha256(content).digest()
        before = self._digests.setdefault(str(inside), digest)
        if before != digest:
            raise UserError(place, "is the name of two images", "give each a name of its own")
        path = self.folder / inside
        if not path.exists():
            with atomic_path(path) as temporary:
                temporary.write_bytes(content)
        return str(inside)


def embedded_column(path: Path) -> str | None:
    """The column of a Parquet file that holds images as bytes, as Hugging Face writes them."""
    for field in open_parquet(path).schema_arrow:
        parts = [part.name for part in field.type] if str(field.type).startswith("struct") else []
        if "bytes" in parts:
            return str(field.name)
    return None


def read_embedded(
    path: Path, column: str, embedded: EmbeddedImages, columns: Columns, split: str | None
) -> Iterator[Row]:
    """The rows of a Parquet file that holds its images in ``column``."""
    file = open_parquet(path)
    names = list(file.schema_arrow.names)
    # a column of names beside the images, else the path that came with each
    others = [name for name in names if name != column]
    if columns.fits(others):
        names = others
    keys = columns.keys(names, path)
    chosen = {column, keys.image, *keys.captions, *filter(None, (keys.split,))}
    for place, record in parquet_records(path, file, sorted(chosen), ROWS_AT_A_TIME):
        row = columns.row({name: record.get(name) for name in names}, place, split)
        content = (record[column] or {}).get("bytes")
        if content is None:
            yield row
            continue
        name = row.name.replace("\\", "/").rpartition("/")[2]
        if not IMAGE.search(name):
            number = place.rpartition(" ")[2]
            name = f"{name or f'{path.stem}_{number}'}{_suffix(content)}"
        yield row._replace(name=embedded.write(name, content, path))


def _suffix(content: bytes) -> str:
    try:
        with Image.open(io.BytesIO(content)) as image:
            kind = (image.format or "").lower()
    except OSError:
        return ".jpg"  # whose decoder says what is wrong
    return {"jpeg": ".jpg", "tiff": ".tif", "jpeg2000": ".jp2"}.get(kind, f".{kind}")
