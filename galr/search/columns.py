"""Columns of the user's own, from CSV or Parquet: any facts about images, joined by their names."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from galr.common.errors import UserError
from galr.search.store import Store, image_schema

logger = logging.getLogger(__name__)

NAME = "name"
REMEDY = "name a .csv or .parquet file with a column name and one row an image"


class Columns:
    """The file's columns by the names of images; of a scene's tiles, all have the scene's row."""

    def __init__(self, path: Path) -> None:
        """Raises UserError for a file that cannot be read, or whose names are not of one row."""
        self.path = path
        try:
            content = path.read_bytes()
            self.table = _read(path, content)
        except FileNotFoundError:
            raise UserError(path, "there is no such file of columns", REMEDY) from None
        except (OSError, ValueError, pa.ArrowException) as error:
            what = f"cannot be read ({str(error).partition(chr(10))[0][:120]})"
            raise UserError(path, what, REMEDY) from None
        self.digest = hashlib.sha256(content).hexdigest()
        if NAME not in self.table.column_names or self.table.num_columns < 2:
            raise UserError(path, "has no column name beside others", REMEDY)
        names = pc.cast(self.table[NAME], pa.string())
        self.table = self.table.set_column(self.table.schema.get_field_index(NAME), NAME, names)
        counts = pc.value_counts(names)
        twice = counts.filter(pc.greater(counts.field("counts"), 1))
        if names.null_count or len(twice):
            told = f"{twice[0]['values'].as_py()!r} twice" if len(twice) else "a row without a name"
            raise UserError(path, f"has {told}", "give one row an image")
        taken = set(image_schema(1, tiles=True).names) - {NAME, "class"}
        if mine := sorted(taken & set(self.table.column_names)):
            raise UserError(path, f"has the column {mine[0]}, which every archive has", "rename it")
        if odd := [name for name in self.table.column_names if not name.isidentifier()]:
            what = f"has a column {odd[0]!r}, which no condition could name"
            raise UserError(path, what, "rename it to letters, digits and _")

    def join(self, store: Store) -> None:
        """Gives the images their columns; names without an image, and the reverse, are told."""
        table = store.table("images")
        tiles = "scene" in table.schema.names
        of = "scene" if tiles else NAME
        there = table.search().select(list({NAME, of})).to_arrow()
        unknown = pc.filter(self.table[NAME], pc.invert(pc.is_in(self.table[NAME], there[of])))
        missing = pc.unique(pc.filter(there[of], pc.invert(pc.is_in(there[of], self.table[NAME]))))
        for names, what in (
            (unknown, "names no image of the archive"),
            (missing, "is the first image without a row"),
        ):
            if len(names):
                logger.warning(
                    "%s: %s %s (%d in all)", self.path, names[0].as_py(), what, len(names)
                )
        rows = there.join(self.table, of, NAME, join_type="inner") if tiles else self.table.filter(
            pc.is_in(self.table[NAME], there[NAME])
        )  # fmt: skip
        rows = rows.drop_columns([of]) if tiles else rows
        with store.told(f"cannot take the columns of {self.path}", REMEDY):
            new = [field for field in rows.schema if field.name not in table.schema.names]
            if new:
                table.add_columns([field.with_nullable(True) for field in new])
            store.put("images", rows.combine_chunks(), add=False)


def _read(path: Path, content: bytes) -> Any:  # noqa: ANN401 - pyarrow has no types
    buffer = pa.py_buffer(content)
    if path.suffix.lower() == ".parquet":
        import pyarrow.parquet

        return pyarrow.parquet.read_table(pa.BufferReader(buffer))
    if path.suffix.lower() != ".csv":
        raise UserError(path, "is neither .csv nor .parquet", REMEDY)
    import pyarrow.csv

    empty = pyarrow.csv.ConvertOptions(strings_can_be_null=True)
    return pyarrow.csv.read_csv(pa.BufferReader(buffer), convert_options=empty)
