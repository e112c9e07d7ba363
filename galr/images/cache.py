"""A cache with one row of numbers per image, in an HDF5 file that every process maps into memory.

Rows are contiguous and uncompressed, so that reading one needs no copy. The file also has the names
and digests (``content``) of the image files, by which a stale cache is recognised and rebuilt, and
``row_digests`` of the rows themselves, for ``verify``. Earlier versions only compare sizes (bytes)
and modification times (ns), which are still written for them.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from galr.common.atomic import atomic_path, check_writable
from galr.common.errors import RunError
from galr.common.folder_lock import holding
from galr.common.hdf5 import check_heaps, own_attributes, own_dataset, write_hdf5
from galr.images.content import (
    Contents,
    cache_folders,
    digests_of_rows,
    image_contents,
    memo_files,
)
from galr.images.scaling import Scaling
from galr.options import DatasetOptions

logger = logging.getLogger(__name__)

VERSION = 2

Rows = TypeVar("Rows", bound="CachedRows")


class NoRoomError(RunError):
    """No folder has room for the cache, or it would exceed ``dataset.image_cache_gb``."""


class CachedRows:
    """Rows of a cache file, mapped into memory by each process that reads them."""

    def __init__(
        self, path: Path, offset: int, shape: tuple[int, ...], dtype: type[np.generic],
        rows: NDArray[np.int64] | None = None,
    ) -> None:  # fmt: skip
        """``rows``, or all, of the array of that ``shape`` at byte ``offset`` of the file."""
        self.path, self.offset, self.shape, self.dtype = path, offset, shape, dtype
        self.rows = np.arange(shape[0]) if rows is None else rows
        try:
            self.array: NDArray[Any] = np.memmap(path, dtype, mode="r", offset=offset, shape=shape)
        except OSError as error:
            raise RunError(
                path,
                f"cannot be read any more ({error.strerror})",
                "run the command again to rebuild it",
            ) from None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> NDArray[Any]:
        """Row ``index``; read-only."""
        row: NDArray[Any] = self.array[self.rows[index]]
        return row

    def select(self: Rows, indices: Sequence[int] | NDArray[np.int64]) -> Rows:
        """The rows at ``indices``, in that order."""
        chosen = self.rows[np.asarray(indices)]
        return type(self)(self.path, self.offset, self.shape, self.dtype, chosen)

    def __reduce__(self) -> tuple[Any, ...]:
        # a loader process that is not forked maps the file itself
        return type(self), (self.path, self.offset, self.shape, self.dtype, self.rows)


@dataclass(frozen=True)
class Cache:
    """The content of a cache: rows of ``shape`` for the images ``names`` in ``folder``."""

    title: str  # in the log
    file_name: str
    options: DatasetOptions
    folder: Path
    names: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: type[np.generic]
    scaling: Scaling

    @property
    def gigabytes(self) -> float:
        """Its size in 10^9 bytes, to within some kilobytes."""
        row = int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize
        return len(self.names) * row / 1e9

    def load_or_build(self, kind: type[Rows], write: Callable[[Path, int], None]) -> Rows:
        """The rows as ``kind``; ``write(path, offset)`` fills a missing or stale cache.

        One process at a time builds it while the others wait. Raises UserError for a missing image
        and NoRoomError if no folder has room.
        """
        contents = image_contents(self.folder, self.names, memo_files(self.options), keep=True)
        paths = [folder / self.file_name for folder in cache_folders(self.options)]
        for path in paths:
            if (found := self._load(kind, path, contents)) is not None:
                return found
        path = self._first_with_room(paths)
        with _building(path, self.title):
            if (found := self._load(kind, path, contents)) is not None:
                return found
            logger.info(
                "%s: %d images, %.2f GB in %s", self.title, len(self.names), self.gigabytes, path
            )
            with atomic_path(path) as temporary:
                write(temporary, self._allocate(temporary, contents))
                _seal(temporary)
            found = self._load(kind, path, contents)
        if found is None:
            raise RunError(path, "does not read back as it was written", "check the disk")
        return found

    def _load(self, kind: type[Rows], path: Path, contents: Contents) -> Rows | None:
        """The cache at ``path``; None if there is none or, with a log line, if it is stale."""
        if not path.is_file():
            return None
        try:
            check_heaps(path)
            with h5py.File(path, "r", locking=False) as file:
                problem = self._difference(file, contents)
                offset = int(file["rows"].id.get_offset() or 0)
        except (OSError, KeyError, AttributeError, TypeError, ValueError) as error:
            problem = f"it cannot be read ({error})"
        if problem:
            logger.info("%s %s: %s; it is rebuilt", self.title, path, problem)
            return None
        return kind(path, offset, (len(self.names), *self.shape), self.dtype)

    def _difference(self, file: h5py.File, contents: Contents) -> str | None:
        """Why a cache file is stale; None if it is not."""
        rows, attributes = file["rows"], own_attributes(file)
        if tuple(own_dataset(file, "names").asstr()[:]) != self.names:
            return "the list of images has changed"
        if (
            attributes["version"] != VERSION
            or rows.dtype != self.dtype
            or rows.shape != (len(self.names), *self.shape)
            or rows.id.get_offset() is None
        ):
            return "it is of another version"
        if attributes["scaling"] != str(self.scaling):
            return "dataset.pixel_range, bands or no_data has changed"
        changed = np.zeros(len(self.names), bool)
        for stamp in ("digests",) if "digests" in file else ("sizes", "modified"):
            changed |= file[stamp][:] != getattr(contents, stamp)
        if changed.any():
            return (
                f"{changed.sum()} images have changed, for example {self.names[changed.argmax()]}"
            )
        return None

    def _allocate(self, path: Path, contents: Contents) -> int:
        """Writes everything but the rows; returns the byte offset of the rows."""
        with write_hdf5(path) as file:
            file.attrs["version"] = VERSION
            file.attrs["scaling"] = str(self.scaling)
            file.create_dataset("names", data=list(self.names), dtype=h5py.string_dtype())
            for stamp, values in contents._asdict().items():
                file.create_dataset(stamp, data=values)
            file.create_dataset("row_digests", (len(self.names),), np.int64)
            rows = file.create_dataset("rows", (len(self.names), *self.shape), self.dtype)
            rows[0] = 0  # HDF5 allocates a contiguous array on the first write to it
            return int(rows.id.get_offset())

    def _first_with_room(self, paths: Sequence[Path]) -> Path:
        """The first of ``paths`` that is writable and whose disk has room."""
        size = self.gigabytes
        if size > self.options.image_cache_gb:
            raise NoRoomError(
                self.title,
                f"it would take {size:.2f} GB, more than dataset.image_cache_gb = "
                f"{self.options.image_cache_gb:g}",
                "raise that limit",
            )
        for path in paths:
            try:
                check_writable(path)
            except RunError as error:
                logger.info("%s: %s", self.title, error)
                continue
            free = shutil.disk_usage(path.parent).free / 1e9
            if free >= size:
                return path
            logger.info(
                "%s: %s has %.2f GB free of the %.2f GB needed",
                self.title, path.parent, free, size,
            )  # fmt: skip
        tried = ", ".join(str(path.parent) for path in paths)
        raise NoRoomError(
            self.title,
            f"no folder has room for {size:.2f} GB (tried {tried})",
            "set dataset.image_cache to another folder",
        )


def _seal(path: Path) -> None:
    """Writes the digests of the rows of an otherwise complete cache."""
    with h5py.File(path, "r") as file:
        rows = file["rows"]
        offset, shape, dtype = int(rows.id.get_offset()), rows.shape, rows.dtype
    digests = digests_of_rows(np.memmap(path, dtype, mode="r", offset=offset, shape=shape))
    with write_hdf5(path, "r+") as file:
        file["row_digests"][:] = digests


@contextlib.contextmanager
def _building(path: Path, title: str) -> Iterator[None]:
    """Lets one process at a time build in the folder of ``path``; removes leftovers of killed ones.

    On a file system without locks, each builds a complete file, and the last one stays.
    """
    with contextlib.ExitStack() as stack:
        told = f"{title}: waiting for another process to finish building in {path.parent}"
        with contextlib.suppress(OSError):
            stack.enter_context(holding(path.parent, waiting=told))
        for leftover in path.parent.glob(f"{path.name}.*.tmp"):
            leftover.unlink(missing_ok=True)
        yield
