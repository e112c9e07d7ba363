"""Columns of the user's own, from CSV or Parquet: any facts about images, joined by their names."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from galr.common.errors import UserError
from galr.common.tables import named_table
from galr.search.schema import image_schema
from galr.search.store import Store

logger = logging.getLogger(__name__)

NAME = "name"
REMEDY = "name a .csv or .parquet file with a column name and one row an image"


class Columns:
    """The file's columns by the names of images; of a scene's tiles, all have the scene's row."""

    def __init__(self, path: Path) -> None:
        """Raises UserError for a file that cannot be read, or whose names are not of one row."""
        self.path = path
        self.table, content = named_table(path, REMEDY, NAME)
        self.digest = hashlib.sha256(content).hexdigest()
        taken = set(image_schema(1, tiles=True).names) - {NAME, "class"}
        for column in self.table.column_names:
            if column in taken:
                what = f"has the column {column}, which every archive has"
                raise UserError(path, what, "rename it")
            if not column.isidentifier():
                what = f"has a column {column!r}, which no condition could name"
                raise UserError(path, what, "rename it to letters, digits and _")

    def join(self, store: Store) -> None:
        """Gives the images their columns; names without an image, and the reverse, are told."""
        table = store.table("images")
        of = "scene" if "scene" in table.schema.names else NAME
        with store.told():
            there = table.search().select(list({NAME, of})).to_arrow()
        given, known = self.table[NAME], there[of]
        for names, others, what in (
            (given, known, "names no image of the archive"),
            (pc.unique(known), given, "is the first image without a row"),
        ):
            lone = pc.filter(names, pc.invert(pc.is_in(names, others)))
            if len(lone):
                logger.warning("%s: %s %s (%d in all)", self.path, lone[0].as_py(), what, len(lone))
        rows = self.table.filter(pc.is_in(given, known))
        if of != NAME:
            rows = there.join(rows, of, NAME).drop_columns([of])
        rows = self._as_in(table.schema, rows)
        with store.told(f"cannot take the columns of {self.path}", REMEDY):
            new = [field for field in rows.schema if field.name not in table.schema.names]
            if new:
                table.add_columns([field.with_nullable(True) for field in new])
            store.put("images", rows.combine_chunks(), add=False)

    def _as_in(self, known: pa.Schema, rows: pa.Table) -> pa.Table:
        """Rows with columns of the types that they have in the archive already."""
        for place, column in enumerate(rows.column_names):
            if column in known.names:
                kind = known.field(column).type
                try:
                    own = rows[column].cast(kind)
                except pa.ArrowException as error:
                    why = str(error).partition("\n")[0][:120]
                    what = f"has a column {column} that is no {kind} as in the archive ({why})"
                    raise UserError(self.path, what, "correct or rename it") from None
                rows = rows.set_column(place, known.field(column), own)
        return rows
