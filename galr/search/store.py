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
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from galr.common.errors import UserError
from galr.common.quiet import without_warnings

INDEX = "python -m galr.search index"
DAMAGED = f"rebuild the archive with {INDEX} --overwrite"
FORMAT: Final = 2
TABLES = ("archive", "encoder", "images", "captions", "scenes", "statistics")
NAMES_A_DELETE = 1000
LEAST_IVFPQ = 10_000  # images: with fewer there is nothing to train the codes on
EVER = timedelta(days=36500)  # no version is older
OLD_MANIFEST = "archive.json"
# writers that add the same key at once find each other by it
KEY = {"lance-schema:unenforced-primary-key": "true"}
PANICS = ("PanicException", "RustPanic")  # of the store's own language, on damaged files

Kind = Literal["flat", "hnsw", "ivfpq"]
Floats = NDArray[np.float32]


class Tiling(BaseModel):
    """How scenes are cut into tiles: sides in pixels, overlap as a share of the side, bands."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sides: tuple[int, ...]
    overlap: float
    bands: tuple[int, ...] | None = None

    def __str__(self) -> str:
        """As the options of the command."""
        told = f"--tiles {','.join(map(str, self.sides))} --overlap {self.overlap:g}"
        return told if self.bands is None else f"{told} --bands {','.join(map(str, self.bands))}"


class Manifest(BaseModel):
    """What the table ``archive`` says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[2] = FORMAT
    folder: str  # of the images, absolute
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

    @property
    def approximate(self) -> Kind | None:
        """The kind of search, where it may miss an image."""
        return None if self.kind == "flat" else self.kind


def image_schema(dim: int, *, tiles: bool, extra: Sequence[pa.Field] = ()) -> pa.Schema:
    """The columns of images, or of tiles of scenes; D numbers a vector."""
    fields = [
        # relative to the folder, of tiles with their window
        pa.field("name", pa.string(), nullable=False, metadata=KEY),
        pa.field("size", pa.int64()),  # bytes of the file
        pa.field("time", pa.timestamp("ns")),  # of its last change
        pa.field("digest", pa.string()),  # SHA-256 of the pixels
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("class", pa.string()),  # the folder it lies in
        pa.field("objects", pa.list_(pa.string())),  # their classes, by --local
        pa.field("thumbnail", pa.binary()),  # JPEG
        pa.field("vector", pa.list_(pa.float32(), dim)),
    ]
    if tiles:
        fields += [pa.field("scene", pa.string())]
        fields += [pa.field(side, pa.int32()) for side in ("left", "top")]
        fields += [pa.field(side, pa.float64()) for side in ("west", "south", "east", "north")]
        fields += [pa.field("footprint", pa.list_(pa.float64(), 8)), pa.field("crs", pa.string())]
    return pa.schema([*fields, *extra])


def vectors_column(vectors: Floats) -> pa.Array:
    """Vectors (N, D) as a column."""
    flat = pa.array(np.ascontiguousarray(vectors, np.float32).ravel())
    return pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])


def vectors_of(column: Any) -> Floats:  # noqa: ANN401 - pyarrow has no types
    """A column of vectors as an array (N, D)."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    numbers = np.asarray(whole.flatten(), dtype=np.float32)
    return numbers.reshape(len(whole), column.type.list_size)


class Store:
    """The tables of an archive at an address. Errors of the store are UserErrors that name it."""

    def __init__(self, address: str | Path, *, create: bool = False) -> None:
        """Raises UserError where there is no archive, unless it is to be made."""
        self.address = str(address)
        lancedb = _lancedb()
        if not create and not self.is_remote:
            _check_there(Path(self.address))
        with self.told():
            self.database = lancedb.connect(
                self.address, storage_options={"new_table_enable_stable_row_ids": "true"}
            )

    @property
    def is_remote(self) -> bool:
        """Whether the address is none of a folder."""
        return "://" in self.address

    @contextlib.contextmanager
    def told(
        self,
        what: str = "is missing or damaged",
        remedy: str = DAMAGED,
        place: str | None = None,
    ) -> Iterator[None]:
        """Says in a line what the store raises inside."""
        try:
            yield
        except UserError:
            raise
        except (OSError, RuntimeError, ValueError) as error:
            raise UserError(
                place or self.address, f"{what} ({_shortened(error)})", remedy
            ) from None
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

    def has(self, name: str) -> bool:
        """Whether there is such a table."""
        with self.told():
            return name in self.database.list_tables().tables

    def manifest(self) -> Manifest:
        """Raises UserError where there is no archive, or not a whole one."""
        remedy = f"build it with {INDEX} --images DIR --checkpoint best.pth --out {self.address}"
        if not self.has("archive"):
            raise UserError(self.address, "is not an archive", remedy)
        with self.told():
            rows = self.table("archive").search().to_arrow().to_pylist()
        try:
            content = json.loads(rows[0]["manifest"])
            if isinstance(content, dict) and content.get("format", FORMAT) != FORMAT:
                what = f"has format {content['format']}; this program reads format {FORMAT}"
                raise UserError(self.address, what, f"{remedy} --overwrite")
            return Manifest.model_validate(content)
        except (KeyError, IndexError, TypeError, ValueError, RecursionError):
            raise UserError(self.address, "is damaged", f"{remedy} --overwrite") from None

    def begin(self, manifest: Manifest) -> None:
        """Puts the first manifest in force; UserError where another writer began with another."""
        row = _manifest_row(manifest)
        with self.told("cannot be written", "check the folder's rights and room"):
            table = self._made("archive", row.schema)
            table.merge_insert("key").when_not_matched_insert_all().execute(row)
        first = self.manifest()
        if first.model_copy(update={"versions": {}, "unreadable": ()}) != manifest:
            raise UserError(self.address, "is being built with other options", "wait for it")

    def write_manifest(self, manifest: Manifest) -> None:
        """Puts ``manifest`` in force."""
        self.put("archive", _manifest_row(manifest), on="key")

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
                self.write_manifest(ours)
            if self.table("images").version == newest["images"] and self.manifest() == ours:
                return ours

    def put(self, name: str, rows: pa.Table, *, on: str = "name", add: bool = True) -> None:
        """Adds rows in one commit; one that has the key of another replaces its columns.

        Columns that ``rows`` lacks stay as they are. Without ``add``, only replaces.
        """
        with self.told("cannot be written", "check the folder's rights and room"):
            table = self._made(name, rows.schema)
            known = table.schema
            rows = rows.cast(pa.schema([known.field(column) for column in rows.column_names]))
            merge = table.merge_insert(on).when_matched_update_all()
            (merge.when_not_matched_insert_all() if add else merge).execute(rows)

    def _made(self, name: str, schema: pa.Schema) -> Any:  # noqa: ANN401 - no types
        """A table, which is made where it is not there."""
        with self._alone():
            if name not in self.database.list_tables().tables:
                return self.database.create_table(name, schema=schema)
        return self.database.open_table(name)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Holds off other writers of this folder: a table that two make would be made anew."""
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(ImportError, OSError):  # no such locks, or no folder
                import fcntl

                handle = os.open(self.address, os.O_RDONLY)
                stack.callback(os.close, handle)  # which also unlocks
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def replace(self, name: str, rows: pa.Table) -> int:
        """All rows of a table anew, in one commit; returns its version."""
        with self.told("cannot be written", "check the folder's rights and room"):
            return int(self.database.create_table(name, rows, mode="overwrite").version)

    def remove(self, names: Sequence[str]) -> None:
        """Deletes images by name."""
        table = self.table("images")
        with self.told():
            for start in range(0, len(names), NAMES_A_DELETE):
                table.delete(f"name IN {_listed(names[start : start + NAMES_A_DELETE])}")

    def drop(self) -> None:
        """Deletes the tables, those that tell of the others first."""
        with self.told("cannot be deleted", "check the folder's rights"):
            for name in TABLES:
                if self.has(name):
                    self.database.drop_table(name)

    def tidy(self, older_than: timedelta = EVER) -> None:
        """Joins small files, extends the indexes, and deletes versions of the age given."""
        for name in TABLES:
            if self.has(name):
                with without_warnings(UserWarning):  # on what deleting all means
                    self.table(name).optimize(cleanup_older_than=older_than)

    def clean(self, days: float) -> int:
        """Deletes versions of that age, joins small files; returns how many there were.

        Raises UserError where a build has not finished: its rows are in no version that counts.
        """
        before = self.manifest()
        if before.versions.get("images") != self.table("images").version:
            remedy = f"wait for it, or run its {INDEX} command again"
            raise UserError(self.address, "has a build that is not finished", remedy)
        count = 0
        for age in (EVER, timedelta(days=days)):  # readers are told of new versions in between
            if age != EVER:
                count = self._count()
            self.tidy(age)
            self.publish(versions={name: self.table(name).version for name in before.versions})
        return count - self._count()

    def _count(self) -> int:
        return sum(len(self.table(name).list_versions()) for name in TABLES if self.has(name))

    def index(self, kind: Kind) -> None:
        """Builds the approximate index of a kind, or extends the one that there is."""
        from lancedb.index import HnswSq, IvfPq

        table = self.table("images")
        there = {one.name: one for one in table.list_indices()}
        name = f"vector_{kind}"
        for other in there:
            if other != name:
                table.drop_index(other)
        if kind == "flat" or name in there:
            return
        if kind == "hnsw":
            config: Any = HnswSq(distance_type="cosine", m=16, ef_construction=64)
        else:
            dim = table.schema.field("vector").type.list_size
            codes = next(n for n in range(min(64, dim), 0, -1) if dim % n == 0)
            config = IvfPq(
                distance_type="cosine", num_sub_vectors=codes, num_partitions=cells(len(table)),
                max_iterations=15, sample_rate=64,
            )  # fmt: skip
        table.create_index("vector", config=config, name=name)


def cells(images: int) -> int:
    """Into how many cells IVF divides so many images."""
    return max(1, int(images**0.5))


def _manifest_row(manifest: Manifest) -> pa.Table:
    text = json.dumps(manifest.model_dump(mode="json"))
    return pa.table({"key": ["archive"], "manifest": [text]})


def _listed(names: Sequence[str]) -> str:
    """A list of SQL."""
    quoted = (name.replace("'", "''") for name in names)
    return "(" + ", ".join(f"'{name}'" for name in quoted) + ")"


def _shortened(error: Exception) -> str:
    """What the store says, without the places in its own source."""
    return str(error).partition(", /")[0].partition("\n")[0][:200]


def _check_there(folder: Path) -> None:
    remedy = f"build it with {INDEX} --images DIR --checkpoint best.pth --out {folder}"
    if (folder / OLD_MANIFEST).is_file():
        what = "is an archive of an earlier version"
        raise UserError(folder, what, f"run python -m galr.search migrate {folder} NEW")
    if not (folder / "archive.lance").is_dir():
        what = "is not an archive" if folder.exists() else "there is no such archive"
        raise UserError(folder, what, remedy)


def _lancedb() -> Any:  # noqa: ANN401 - a package without types
    # it warns of tables that it makes, and of changes to come
    os.environ.setdefault("LANCEDB_LOG", "error")
    try:
        import lancedb
    except ImportError:
        raise UserError("the package lancedb", "is not installed", "pip install lancedb") from None
    return lancedb
