"""An archive as a database of LanceDB: a folder, or an address such as s3://bucket/archive.

``archive``     one row: what the archive is made of, and which versions of the other tables count
``encoder``     one row: weights, options and vocabulary of the model, nothing of its training
``images``      a row an image or tile: its name, vector, size, place, and the columns of the user
``captions``    what re-ranking compares with
``scenes``      how the scenes that tiles are cut from are read
``statistics``  what re-ranking methods have read of the images' similarities with the captions

Every write is a commit of the store: a table has the rows of whole commits, whatever is killed.
Readers see the versions that ``archive`` names, and writers name new ones when they are done.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from galr.common.errors import UserError
from galr.common.folder_lock import holding
from galr.common.quiet import without_warnings
from galr.common.sql import quoted
from galr.search.schema import FORMAT, Kind, Manifest

INDEX = "python -m galr.search index"
DAMAGED = f"rebuild the archive with {INDEX} --overwrite"
DISK = ("cannot be written", "check the folder's rights and room")
TABLES = ("archive", "encoder", "images", "captions", "scenes", "statistics")
NAMES_A_DELETE = 1000
INDEXED_ROWS = 50_000  # from this size on, conditions use indexes of their columns
EVER = timedelta(days=36500)  # no version is older
OLD_MANIFEST = "archive.json"
PANICS = ("PanicException", "RustPanic")  # of the store's own language, on damaged files


class Store:
    """The tables of an archive at an address. Errors of the store are UserErrors that name it."""

    def __init__(self, address: str | Path, *, create: bool = False) -> None:
        """Raises UserError where there is no archive, unless it is to be made."""
        self.address = str(address)
        # it warns of tables that it makes, and of changes to come
        os.environ.setdefault("LANCEDB_LOG", "error")
        try:
            import lancedb
        except ImportError:
            remedy = "pip install lancedb"
            raise UserError("lancedb", "the package is not installed", remedy) from None
        self.remedy = f"build it with {INDEX} --images DIR --checkpoint best.pth --out {address}"
        self.folder = None if "://" in self.address else Path(self.address)
        if not create and (folder := self.folder) is not None:
            if (folder / OLD_MANIFEST).is_file():
                what = "is an archive of an earlier version"
                raise UserError(folder, what, f"run python -m galr.search migrate {folder} NEW")
            if not (folder / "archive.lance").is_dir():
                what = "is not an archive" if folder.exists() else "there is no such archive"
                raise UserError(folder, what, self.remedy)
        options = {"new_table_enable_stable_row_ids": "true"}
        with self.told():
            self.database = lancedb.connect(self.address, storage_options=options)

    @contextlib.contextmanager
    def told(
        self, what: str = "is missing or damaged", remedy: str = DAMAGED, place: str = ""
    ) -> Iterator[None]:
        """Says in a line what the store raises inside."""
        try:
            yield
        except (OSError, RuntimeError, ValueError, IndexError) as error:
            # without the places in the store's own source
            why = str(error).partition(", /")[0].partition("\n")[0][:200]
            raise UserError(place or self.address, f"{what} ({why})", remedy) from None
        except BaseException as error:
            if type(error).__name__ not in PANICS:
                raise
            raise UserError(self.address, what, remedy) from None

    def table(self, name: str, version: int | None = None) -> Any:  # noqa: ANN401 - no types
        """A table at a version, or the latest."""
        with self.told():
            table = self.database.open_table(name)
            if version is not None:
                table.checkout(version)
            return table

    def rows(self, name: str, version: int | None = None) -> pa.Table:
        """All rows of a table that is small."""
        with self.told():
            return self.table(name, version).search().to_arrow()

    def has(self, name: str) -> bool:
        """Whether there is such a table."""
        with self.told():
            return name in self.database.list_tables().tables

    def manifest(self) -> Manifest:
        """Raises UserError where there is no archive, or not a whole one."""
        if not self.has("archive"):
            raise UserError(self.address, "is not an archive", self.remedy)
        rows = self.rows("archive").to_pylist()
        try:
            content = json.loads(rows[0]["manifest"])
            if isinstance(content, dict) and content.get("format", FORMAT) != FORMAT:
                what = f"has format {content['format']}; this program reads format {FORMAT}"
                raise UserError(self.address, what, f"{self.remedy} --overwrite")
            return Manifest.model_validate(content)
        except (KeyError, IndexError, TypeError, ValueError, RecursionError):
            raise UserError(self.address, "is damaged", f"{self.remedy} --overwrite") from None

    def has_begun(self) -> bool:
        """Whether there is an archive, however much of it; a failed beginning is none."""
        return self.has("archive") and len(self.rows("archive")) > 0

    def begin(self, manifest: Manifest) -> None:
        """Puts the first manifest in force; UserError where another writer began with another."""
        row = manifest.row()
        with self.told(*DISK):
            table = self._made("archive", row.schema)
            table.merge_insert("key").when_not_matched_insert_all().execute(row)
        first = self.manifest()
        if first.model_copy(update={"versions": {}, "unreadable": ()}) != manifest:
            raise UserError(self.address, "is being built with other options", "wait for it")

    def publish(self, **changes: Any) -> Manifest:  # noqa: ANN401 - fields of Manifest
        """Names the latest version of the images, and ``changes``, to readers.

        What another writer has published meanwhile stays: a version that it has written since is
        named too. Returns what is in force.
        """
        versions = changes.pop("versions", {})
        while True:
            before = self.manifest()
            newest = {**before.versions, **versions, "images": self.table("images").version}
            ours = before.model_copy(update={**changes, "versions": newest})
            if ours != before:
                self.put("archive", ours.row(), on="key")
            if self.table("images").version == newest["images"] and self.manifest() == ours:
                return ours

    def put(self, name: str, rows: pa.Table, *, on: str = "name", add: bool = True) -> None:
        """Adds rows in one commit; one that has the key of another replaces its columns.

        Columns that ``rows`` lacks stay as they are. Without ``add``, only replaces.
        """
        with self.told(*DISK):
            table = self._made(name, rows.schema)
            known = table.schema
            rows = rows.cast(pa.schema([known.field(column) for column in rows.column_names]))
            merge = table.merge_insert(on).when_matched_update_all()
            (merge.when_not_matched_insert_all() if add else merge).execute(rows)

    def _made(self, name: str, schema: pa.Schema) -> Any:  # noqa: ANN401 - no types
        """A table, which is made where it is not there."""
        with contextlib.ExitStack() as stack:
            if self.folder is not None:  # a table that two make would be made anew
                self.folder.mkdir(parents=True, exist_ok=True)
                stack.enter_context(holding(self.folder, waiting=""))
            if not self.has(name):
                return self.database.create_table(name, schema=schema)
        return self.database.open_table(name)

    def replace(self, name: str, rows: pa.Table) -> int:
        """All rows of a table anew, in one commit; returns its version."""
        with self.told(*DISK):
            return int(self.database.create_table(name, rows, mode="overwrite").version)

    def remove(self, names: Sequence[str]) -> None:
        """Deletes images by name."""
        table = self.table("images")
        with self.told(*DISK):
            for start in range(0, len(names), NAMES_A_DELETE):
                table.delete(f"name IN ({quoted(*names[start : start + NAMES_A_DELETE])})")

    def drop(self) -> None:
        """Deletes the tables, those that tell of the others first."""
        with self.told("cannot be deleted", "check the folder's rights"):
            for name in filter(self.has, TABLES):
                self.database.drop_table(name)

    def tidy(self, older_than: timedelta = EVER) -> None:
        """Joins small files, extends the indexes, and deletes versions of the age given."""
        with without_warnings(UserWarning), self.told(*DISK):  # on what deleting all means
            for name in filter(self.has, TABLES):
                self.table(name).optimize(cleanup_older_than=older_than)

    def clean(self, days: float) -> int:
        """Deletes versions of that age, joins small files; returns how many there were.

        Raises UserError where a build has not finished: its rows are in no version that counts.
        """
        before = self.manifest()
        if before.versions.get("images") != self.table("images").version:
            remedy = f"wait for it, or run its {INDEX} command again"
            raise UserError(self.address, "has a build that is not finished", remedy)
        counts = []
        for age in (EVER, timedelta(days=days)):  # readers are told of new versions in between
            self.tidy(age)
            self.publish(versions={name: self.table(name).version for name in before.versions})
            there = map(self.table, filter(self.has, TABLES))
            counts.append(sum(len(table.list_versions()) for table in there))
        return counts[0] - counts[1]

    def index(self, kind: Kind) -> None:
        """Builds indexes of columns, and that of a kind of vectors; ``tidy`` extends them later."""
        table, name = self.table("images"), f"vector_{kind}"
        with self.told(*DISK):
            there = {one.name for one in table.list_indices()}
            if len(table) >= INDEXED_ROWS:
                _index_columns(table, there)
            for other in there - {name}:
                if other.startswith("vector_"):
                    table.drop_index(other)
            if kind != "flat" and name not in there:
                from lancedb.index import HnswSq, IvfPq

                config: Any = HnswSq(distance_type="cosine", m=16, ef_construction=64)
                if kind == "ivfpq":
                    dim = table.schema.field("vector").type.list_size
                    codes = next(n for n in range(min(64, dim), 0, -1) if dim % n == 0)
                    config = IvfPq(distance_type="cosine", num_sub_vectors=codes, max_iterations=15,
                                   num_partitions=cells(len(table)), sample_rate=64)  # fmt: skip
                table.create_index("vector", config=config, name=name)


def _index_columns(table: Any, there: set[str]) -> None:  # noqa: ANN401 - no types
    """Indexes what conditions may name, but for lists of numbers, which none can compare."""
    from lancedb.index import BTree, LabelList

    for field in table.schema:
        name, is_list = f"column_{field.name}", pa.types.is_list(field.type)
        if name in there or field.name in ("vector", "thumbnail", "footprint"):
            continue
        table.create_index(field.name, config=LabelList() if is_list else BTree(), name=name)


def cells(images: int) -> int:
    """Into how many cells IVF divides so many images."""
    return max(1, int(images**0.5))
