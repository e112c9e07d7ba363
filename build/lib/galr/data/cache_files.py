"""What the caches of images and of maps share: where they lie, and how they are kept and read.

A cache is an HDF5 file with a row an image, contiguous and uncompressed, so that any process maps
it into memory and reads a row without a copy; beside it ``names``, ``sizes`` (bytes) and
``modified`` (ns) of the image files, by which a stale cache is known.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from galr.data.images import decode_image
from galr.options import DatasetOptions

logger = logging.getLogger(__name__)

Rows = TypeVar("Rows", bound="MappedRows")


@dataclass(frozen=True)
class Layout:
    """A kind of cache: its title in the log, its HDF5 dataset, and what a row of that is."""

    title: str
    dataset: str
    version: int
    dtype: type[np.generic]
    row: tuple[int, ...]

    def bytes_of(self, rows: int) -> int:
        """Bytes of a cache of ``rows`` images, but for some kilobytes."""
        return rows * int(np.prod(self.row)) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Stamps:
    """What a cache depends on, besides its layout."""

    names: NDArray[np.object_]
    sizes: NDArray[np.int64]
    modified: NDArray[np.int64]  # ns

    @classmethod
    def of(cls, folder: Path, names: Sequence[str]) -> Stamps:
        """Those of the image files ``names``; raises UserError where one is missing."""
        stats = []
        for name in names:
            try:
                stats.append(os.stat(folder / name))
            except OSError:
                decode_image(folder / name)  # says in the usual words that it is missing
                raise
        return cls(
            np.array(names, dtype=object),
            np.array([stat.st_size for stat in stats], dtype=np.int64),
            np.array([stat.st_mtime_ns for stat in stats], dtype=np.int64),
        )

    def difference(self, other: Stamps) -> str | None:
        """How ``other`` differs, in words; None where it does not."""
        if not np.array_equal(self.names, other.names):
            return "the list of images has changed"
        changed = (self.sizes != other.sizes) | (self.modified != other.modified)
        if changed.any():
            first = self.names[int(changed.argmax())]
            return f"{int(changed.sum())} images have changed, for example {first}"
        return None


class MappedRows:
    """Rows of a cache file, mapped into memory by each process that reads them."""

    def __init__(
        self, path: Path, offset: int, layout: Layout, total: int, rows: NDArray[np.int64]
    ) -> None:
        """``rows`` are chosen of the ``total`` that the file holds from byte ``offset`` on."""
        self.path, self.offset, self.layout, self.total = path, offset, layout, total
        self.rows = rows
        self._map = self._mapped()

    def _mapped(self) -> NDArray[Any]:
        shape = (self.total, *self.layout.row)
        return np.memmap(self.path, self.layout.dtype, mode="r", offset=self.offset, shape=shape)

    def __len__(self) -> int:
        return len(self.rows)

    def select(self: Rows, indices: Sequence[int] | NDArray[np.int64]) -> Rows:
        """The rows at ``indices``, in that order."""
        chosen = self.rows[np.asarray(indices)]
        return type(self)(self.path, self.offset, self.layout, self.total, chosen)

    def __getstate__(self) -> dict[str, Any]:
        # a loader process that is not a fork maps the file itself
        return {key: value for key, value in self.__dict__.items() if key != "_map"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._map = self._mapped()


def image_folder(options: DatasetOptions) -> Path:
    """The folder of the images: ``image_path``, or ``images`` inside ``data_path``."""
    return Path(options.image_path or Path(options.data_path) / "images")


def cache_folders(options: DatasetOptions) -> list[Path]:
    """Where caches may lie, by ``image_cache``, the first choice first."""
    data, images = Path(options.data_path), image_folder(options)
    digest = hashlib.sha256(str(images.resolve()).encode()).hexdigest()[:8]
    # a folder that several data sets share keeps them apart
    shared = f"{data.resolve().name}-{digest}"
    if options.image_cache != "auto":
        return [Path(options.image_cache).expanduser() / shared]
    own = data / "image_cache" / (digest if options.image_path else "")
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return [own, Path(home) / "galr" / shared]


def find(path: Path, layout: Layout, stamps: Stamps) -> tuple[int | None, str | None]:
    """Where in the cache at ``path`` the rows begin, or what is wrong with it.

    Both are None where there is none.
    """
    if not path.is_file():
        return None, None
    try:
        with h5py.File(path, "r", locking=False) as file:
            rows = file[layout.dataset]
            found = Stamps(file["names"].asstr()[:], file["sizes"][:], file["modified"][:])
            shape, offset = rows.shape, rows.id.get_offset()
            usable = file.attrs["version"] == layout.version and rows.dtype == layout.dtype
    except (OSError, KeyError, AttributeError, TypeError, ValueError) as error:
        return None, f"it cannot be read ({error})"
    if not usable or offset is None or shape != (len(found.names), *layout.row):
        return None, "it is of another version"
    difference = stamps.difference(found)
    return (None, difference) if difference is not None else (int(offset), None)


def allocate(path: Path, layout: Layout, stamps: Stamps) -> int:
    """Writes all of a cache but its rows; returns where in the file they begin."""
    with h5py.File(path, "w") as file:
        file.attrs["version"] = layout.version
        file.create_dataset("names", data=stamps.names, dtype=h5py.string_dtype())
        file.create_dataset("sizes", data=stamps.sizes)
        file.create_dataset("modified", data=stamps.modified)
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        creation.set_layout(h5py.h5d.CONTIGUOUS)
        creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        space = h5py.h5s.create_simple((len(stamps.names), *layout.row))
        kind = h5py.h5t.py_create(np.dtype(layout.dtype))
        dataset = h5py.h5d.create(file.id, layout.dataset.encode(), kind, space, creation)
        return int(dataset.get_offset())


def beyond_limit(layout: Layout, rows: int, limit_gb: float) -> str | None:
    """That a cache of ``rows`` images is too large, in words; None where it is not."""
    size = layout.bytes_of(rows) / 1e9
    if size <= limit_gb:
        return None
    return f"it would take {size:.2f} GB, more than dataset.image_cache_gb = {limit_gb:g}"


def has_room(folder: Path, layout: Layout, rows: int) -> bool:
    """Whether a cache may be written to ``folder`` and the disk has room; says why not."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".{os.getpid()}.tmp"
        probe.touch()
        probe.unlink()
    except OSError as error:
        logger.info("%s: %s cannot be written (%s)", layout.title, folder, error.strerror)
        return False
    free, needed = shutil.disk_usage(folder).free, layout.bytes_of(rows)
    if free < needed:
        logger.info(
            "%s: %s has %.2f GB free of the %.2f GB needed",
            layout.title,
            folder,
            free / 1e9,
            needed / 1e9,
        )
    return free >= needed


@contextlib.contextmanager
def building(path: Path, title: str) -> Iterator[None]:
    """One process at a time builds in the folder of ``path``; leftovers of killed ones are removed.

    Where the system has no such locks, all build (their files are whole).
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError, ImportError):
            import fcntl

            handle = os.open(path.parent, os.O_RDONLY)
            stack.callback(os.close, handle)  # which also unlocks
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                logger.info("%s: waiting for another process that builds in %s", title, path.parent)
                fcntl.flock(handle, fcntl.LOCK_EX)
        for leftover in path.parent.glob(f"{path.name}.*.tmp"):
            leftover.unlink(missing_ok=True)
        yield
