"""What an archive says of itself, and the columns of its images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from galr.scenes.tiles import Tiling

FORMAT: Final = 2
# writers that add the same key at once find each other by it
KEY = {"lance-schema:unenforced-primary-key": "true"}

Kind = Literal["flat", "hnsw", "ivfpq"]
Floats = NDArray[np.float32]


class Manifest(BaseModel):
    """What the table ``archive`` says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[2] = FORMAT
    folder: str  # of the images, absolute, or an address
    encoder: str  # for people: file or name, and the start of its digest
    own: bool = False  # an encoder that the archive does not hold
    checkpoint: str  # digests, or the identity of an encoder of one's own
    local: str | None
    kind: Kind = "flat"
    tiles: Tiling | None = None  # None for an archive of whole images
    columns: str | None = None  # digest of the file of the user's columns
    unreadable: tuple[str, ...] = ()  # image files that could not be decoded
    # the versions that count, by table; without images it is built for the first time
    versions: dict[str, int] = {}

    def row(self) -> pa.Table:
        """As a row of the table."""
        content = json.dumps(self.model_dump(mode="json"))
        return pa.table({"key": ["archive"], "manifest": [content]})


def image_schema(dim: int, *, tiles: bool) -> pa.Schema:
    """The columns of images, or of tiles of scenes; D numbers a vector."""
    fields = [
        # relative to the folder, of tiles with their window
        pa.field("name", pa.string(), nullable=False, metadata=KEY),
        ("size", pa.int64()),  # bytes of the file
        ("time", pa.timestamp("ns")),  # of its last change
        ("digest", pa.string()),  # SHA-256 of the pixels
        ("width", pa.int32()), ("height", pa.int32()),
        ("class", pa.string()),  # the folder it lies in
        ("objects", pa.list_(pa.string())),  # their classes, by --local
        ("thumbnail", pa.binary()),  # JPEG
        ("vector", pa.list_(pa.float32(), dim)),
    ]  # fmt: skip
    if tiles:
        fields += [("scene", pa.string()), ("left", pa.int32()), ("top", pa.int32())]
        fields += [(side, pa.float64()) for side in ("west", "south", "east", "north")]
        fields += [("footprint", pa.list_(pa.float64(), 8)), ("crs", pa.string())]
    return pa.schema(fields)


def table_of(columns: Sequence[dict[str, Any]], vectors: Floats, *, tiles: bool) -> pa.Table:
    """Rows of the table of images, with vectors (N, D); what ``columns`` lack is null."""
    schema = image_schema(vectors.shape[1], tiles=tiles)
    given = {"vector": vectors_column(vectors)}
    arrays = [
        given.get(field.name, pa.array([own.get(field.name) for own in columns], field.type))
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def vectors_column(vectors: Floats) -> pa.Array:
    """Vectors (N, D) as a column."""
    flat = pa.array(np.ascontiguousarray(vectors, np.float32).ravel())
    return pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])


def captions_table(texts: Sequence[str], vectors: Floats) -> pa.Table:
    """Captions and their vectors (C, D) as the table of captions."""
    return pa.table({"text": pa.array(texts), "vector": vectors_column(vectors)})


def vectors_of(column: Any) -> Floats:  # noqa: ANN401 - pyarrow has no types
    """A column of vectors as an array (N, D)."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    numbers = np.asarray(whole.flatten(), dtype=np.float32)
    return numbers.reshape(len(whole), column.type.list_size)
