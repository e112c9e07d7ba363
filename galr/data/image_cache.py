"""Decoded, resized images in one HDF5 file, so that no epoch decodes a file again.

The file of a split and size: ``images`` (I, S, S, 3) uint8, contiguous and uncompressed, so that
any process maps it into memory and reads a row without a copy; beside it ``names``, ``sizes``
(bytes) and ``modified`` (ns) of the image files, by which a stale cache is known.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np
from numpy.typing import NDArray

from galr.atomic import atomic_path
from galr.data.annotations import Annotations
from galr.data.images import decode_image, resize_to_square
from galr.data.processes import cores, leave_interrupts_to_parent, starting_processes
from galr.errors import RunError, UserError
from galr.options import DatasetOptions
from galr.progress import Progress

logger = logging.getLogger(__name__)

VERSION = 1


class Images(Protocol):
    """Images of one size by their index."""

    @property
    def side(self) -> int:
        """S, the side of the squares in pixels."""

    def __len__(self) -> int:
        """I, the number of images."""

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """Image ``index``, (S, S, 3) RGB; not to be written to."""

    def select(self, indices: Sequence[int] | NDArray[np.int64]) -> Images:
        """The images at ``indices``, in that order."""


@dataclass(frozen=True)
class ImageFiles:
    """Images that are decoded anew each time."""

    folder: Path
    names: tuple[str, ...]
    side: int

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        return resize_to_square(decode_image(self.folder / self.names[index]), self.side)

    def select(self, indices: Sequence[int] | NDArray[np.int64]) -> ImageFiles:
        """The images at ``indices``, in that order."""
        return ImageFiles(self.folder, tuple(self.names[i] for i in indices), self.side)


class CachedImages:
    """Rows of a cache file, mapped into memory by each process that reads them."""

    def __init__(
        self, path: Path, offset: int, shape: tuple[int, ...], rows: NDArray[np.int64]
    ) -> None:
        self.path, self.offset, self.shape, self.rows = path, offset, shape, rows
        self.side = shape[1]
        self._map = self._mapped()

    def _mapped(self) -> NDArray[np.uint8]:
        return np.memmap(self.path, np.uint8, mode="r", offset=self.offset, shape=self.shape)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        image: NDArray[np.uint8] = self._map[self.rows[index]]
        return image

    def select(self, indices: Sequence[int] | NDArray[np.int64]) -> CachedImages:
        """The images at ``indices``, in that order."""
        return CachedImages(self.path, self.offset, self.shape, self.rows[np.asarray(indices)])

    def __getstate__(self) -> dict[str, Any]:
        # a loader process that is not a fork maps the file itself
        return {key: value for key, value in self.__dict__.items() if key != "_map"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._map = self._mapped()


def image_folder(options: DatasetOptions) -> Path:
    """The folder of the images: ``image_path``, or ``images`` inside ``data_path``."""
    return Path(options.image_path or Path(options.data_path) / "images")


def open_images(options: DatasetOptions, annotations: Annotations, side: int) -> Images:
    """All images of ``annotations`` as squares of ``side`` pixels, from a cache where one may be.

    ``image_cache`` says where: ``auto`` is ``image_cache`` inside the data folder or, where that
    cannot be written, the user's cache folder; else a folder; ``off`` decodes every time. A cache
    that is missing or stale is built first. Without room for it (``image_cache_gb``, the disk) a
    line in the log says so, and the images are decoded every time. Raises UserError for an image
    that is missing or damaged.
    """
    files = ImageFiles(image_folder(options), annotations.images, side)
    if options.image_cache == "off":
        return files
    stamps = _Stamps.of(files)
    folders = _cache_folders(options)
    name = f"{annotations.split}_{side}px.h5"
    for folder in folders:
        cached, problem = _read(folder / name, stamps, side)
        if cached is not None:
            return cached
        if problem:
            logger.info("image cache %s: %s; it is built again", folder / name, problem)
    too_big = _beyond_limit(files, options.image_cache_gb)
    if too_big:
        logger.warning("image cache: %s; images are decoded every time", too_big)
        return files
    for folder in folders:
        if _has_room(folder, files):
            return _build_once(folder / name, files, stamps)
    logger.warning("image cache: no folder for it was found; images are decoded every time")
    return files


@dataclass(frozen=True)
class _Stamps:
    """What a cache depends on, besides its version and size."""

    names: NDArray[np.object_]
    sizes: NDArray[np.int64]
    modified: NDArray[np.int64]  # ns

    @classmethod
    def of(cls, files: ImageFiles) -> _Stamps:
        stats = []
        for name in files.names:
            try:
                stats.append(os.stat(files.folder / name))
            except OSError:
                decode_image(files.folder / name)  # says in the usual words that it is missing
                raise
        return cls(
            np.array(files.names, dtype=object),
            np.array([stat.st_size for stat in stats], dtype=np.int64),
            np.array([stat.st_mtime_ns for stat in stats], dtype=np.int64),
        )

    def difference(self, other: _Stamps) -> str | None:
        """How ``other`` differs, in words; None where it does not."""
        if not np.array_equal(self.names, other.names):
            return "the list of images has changed"
        changed = (self.sizes != other.sizes) | (self.modified != other.modified)
        if changed.any():
            first = self.names[int(changed.argmax())]
            return f"{int(changed.sum())} images have changed, for example {first}"
        return None


def _cache_folders(options: DatasetOptions) -> list[Path]:
    data, images = Path(options.data_path), image_folder(options)
    digest = hashlib.sha256(str(images.resolve()).encode()).hexdigest()[:8]
    # a folder that several data sets share keeps them apart
    shared = f"{data.resolve().name}-{digest}"
    if options.image_cache != "auto":
        return [Path(options.image_cache).expanduser() / shared]
    own = data / "image_cache" / (digest if options.image_path else "")
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return [own, Path(home) / "galr" / shared]


def _read(path: Path, stamps: _Stamps, side: int) -> tuple[CachedImages | None, str | None]:
    """The cache at ``path``, or what is wrong with it (nothing, where there is none)."""
    if not path.is_file():
        return None, None
    try:
        with h5py.File(path, "r", locking=False) as file:
            images = file["images"]
            found = _Stamps(file["names"].asstr()[:], file["sizes"][:], file["modified"][:])
            shape, offset = images.shape, images.id.get_offset()
            usable = file.attrs["version"] == VERSION and images.dtype == np.uint8
    except (OSError, KeyError, AttributeError, TypeError, ValueError) as error:
        return None, f"it cannot be read ({error})"
    if not usable or offset is None or shape != (len(found.names), side, side, 3):
        return None, "it is of another version"
    difference = stamps.difference(found)
    if difference is not None:
        return None, difference
    return CachedImages(path, offset, shape, np.arange(len(stamps.names))), None


def _forecast(files: ImageFiles) -> int:
    """Bytes of the cache, but for some kilobytes."""
    return len(files) * files.side * files.side * 3


def _beyond_limit(files: ImageFiles, limit_gb: float) -> str | None:
    size = _forecast(files) / 1e9
    if size <= limit_gb:
        return None
    return f"it would take {size:.2f} GB, more than dataset.image_cache_gb = {limit_gb:g}"


def _has_room(folder: Path, files: ImageFiles) -> bool:
    """Whether the cache may be written to ``folder`` and the disk has room; says why not."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".{os.getpid()}.tmp"
        probe.touch()
        probe.unlink()
    except OSError as error:
        logger.info("image cache: %s cannot be written (%s)", folder, error.strerror)
        return False
    free, needed = shutil.disk_usage(folder).free, _forecast(files)
    if free < needed:
        logger.info(
            "image cache: %s has %.2f GB free of the %.2f GB needed",
            folder,
            free / 1e9,
            needed / 1e9,
        )
    return free >= needed


def _build_once(path: Path, files: ImageFiles, stamps: _Stamps) -> Images:
    """Builds the cache, or takes the one that another process has just built."""
    with _folder_lock(path.parent):
        cached, _ = _read(path, stamps, files.side)
        if cached is not None:
            return cached
        for leftover in path.parent.glob(f"{path.name}.*.tmp"):  # of a build that was killed
            leftover.unlink(missing_ok=True)
        try:
            _build(path, files, stamps)
        except RunError as error:
            logger.warning("image cache: %s; images are decoded every time", error)
            return files
        cached, problem = _read(path, stamps, files.side)
    if cached is None:
        logger.warning("image cache %s: %s; images are decoded every time", path, problem)
        return files
    return cached


@contextlib.contextmanager
def _folder_lock(folder: Path) -> Iterator[None]:
    """One process at a time; where the system has no such locks, all (their files are whole)."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError, ImportError):
            import fcntl

            handle = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, handle)  # which also unlocks
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                logger.info("image cache: waiting for another process that builds in %s", folder)
                fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _build(path: Path, files: ImageFiles, stamps: _Stamps) -> None:
    logger.info(
        "image cache: %d images to %d x %d pixels, %.2f GB in %s",
        len(files),
        files.side,
        files.side,
        _forecast(files) / 1e9,
        path,
    )
    with atomic_path(path) as temporary:
        offset = _allocate(temporary, files, stamps)
        _fill(temporary, offset, files)


def _allocate(path: Path, files: ImageFiles, stamps: _Stamps) -> int:
    """Writes all but the pixels; returns where in the file they begin."""
    with h5py.File(path, "w") as file:
        file.attrs["version"] = VERSION
        file.create_dataset("names", data=stamps.names, dtype=h5py.string_dtype())
        file.create_dataset("sizes", data=stamps.sizes)
        file.create_dataset("modified", data=stamps.modified)
        layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        layout.set_layout(h5py.h5d.CONTIGUOUS)
        layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        space = h5py.h5s.create_simple((len(files), files.side, files.side, 3))
        dataset = h5py.h5d.create(file.id, b"images", h5py.h5t.NATIVE_UINT8, space, layout)
        return int(dataset.get_offset())


def _fill(path: Path, offset: int, files: ImageFiles) -> None:
    """Decodes on all cores; each image goes straight to its place in the file."""
    size = files.side * files.side * 3
    write = partial(_write_row, path, files.folder, files.side)
    places = range(offset, offset + len(files) * size, size)
    problems = []
    with (
        ProcessPoolExecutor(cores(), initializer=leave_interrupts_to_parent) as pool,
        starting_processes(),
    ):
        try:
            written = pool.map(write, files.names, places, chunksize=16)
            with Progress("image cache", total=len(files), unit="images") as progress:
                for problem in written:
                    progress.advance(1)
                    if problem is not None:
                        problems.append(problem)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    if problems:
        raise _joined(problems)


def _write_row(path: Path, folder: Path, side: int, name: str, place: int) -> UserError | None:
    try:
        pixels = resize_to_square(decode_image(folder / name), side)
    except UserError as error:
        return error  # all are gathered, so that people mend them at once
    # not through a mapping: on a full disk a mapped write would kill the process
    with path.open("rb+", buffering=0) as file:
        file.seek(place)
        if file.write(pixels.tobytes()) < pixels.nbytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return None


def _joined(problems: list[UserError]) -> UserError:
    first, others = problems[0], problems[1:]
    if not others:
        return first
    names = ", ".join(Path(problem.place).name for problem in others[:3])
    more = f" (so it is with {len(others)} more: {names}{', ...' if len(others) > 3 else ''})"
    return UserError(first.place, first.what + more, first.remedy)
