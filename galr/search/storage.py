"""The files of an archive, which is a folder.

``archive.json``       what the archive is made of; written last, it says which files count
``model.pth``          weights, options and vocabulary of the model, and nothing of its training
``images-STAMP.h5``    the images: ``names``, ``sizes`` (bytes), ``modified`` (ns), ``embeddings``
``KIND-STAMP.faiss``   the approximate index of that very file, where there is one
``captions-STAMP.h5``  the captions that rerank compares with, where there are any
``rerank-STAMP.npz``   what re-ranking methods read of each image's similarities with these captions
``tiles-STAMP.npz``    where the tiles of scenes lie, in an archive of tiles
``part-NUMBER.h5``     images that a build has done so far, in the format of ``images``

A build never changes a file that the last archive.json names, so that whoever has the archive open
goes on with what was there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple, overload

import h5py
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from galr.common.arrays import DAMAGED_ARRAYS
from galr.common.atomic import atomic_path, write_json
from galr.common.errors import RunError, UserError

MANIFEST = "archive.json"
MODEL = "model.pth"
INDEX = "python -m galr.search index"
DAMAGED = f"rebuild the archive with {INDEX} --overwrite"
VERSION: Final = 1
ROWS_A_WRITE = 1 << 15

Kind = Literal["flat", "hnsw", "ivfpq"]
FILE_NAME = r"^[a-z]+-[0-9a-f]+\.(h5|faiss)$"
Floats = NDArray[np.float32]


class Tiling(BaseModel):
    """How scenes are cut into tiles: sides in pixels, overlap as a share of the side, bands."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sides: tuple[int, ...]
    overlap: float
    bands: tuple[int, ...] | None = None


class Manifest(BaseModel):
    """What ``archive.json`` says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = VERSION
    folder: str  # of the images, absolute
    checkpoint: str  # digests
    local: str | None
    kind: Kind = "flat"
    # files of the archive, in its folder; images is None while it is built for the first time
    images: str | None = Field(None, pattern=FILE_NAME)
    approximate: str | None = Field(None, pattern=FILE_NAME)
    captions: str | None = Field(None, pattern=FILE_NAME)
    tiles: Tiling | None = None  # None for an archive of whole images
    unreadable: tuple[str, ...] = ()  # image files that could not be decoded


class ImageFile(NamedTuple):
    """By which a file is known again: another size or time is another image."""

    name: str
    size: int  # bytes
    modified: int  # ns


class ImageFiles(Sequence[ImageFile]):
    """Image files by number; as objects of their own, millions would take twice the memory."""

    def __init__(self, names: NDArray[np.object_], *stamps: NDArray[np.int64]) -> None:
        if any(part.shape != names.shape for part in stamps) or names.ndim != 1:
            raise ValueError("names, sizes and modified must be (I,)")
        self._names, (self._sizes, self._modified) = names, stamps

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, index: int) -> ImageFile: ...

    @overload
    def __getitem__(self, index: slice) -> list[ImageFile]: ...

    def __getitem__(self, index: int | slice) -> ImageFile | list[ImageFile]:
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        name = self._names[index].decode()
        return ImageFile(name, int(self._sizes[index]), int(self._modified[index]))


class Rows(NamedTuple):
    """Images of an archive, or of a part of it."""

    files: Sequence[ImageFile]
    embeddings: Floats  # (I, D), mapped into memory


def read_manifest(archive: Path) -> Manifest:
    """Raises UserError where there is no archive, or not a whole one."""
    path = archive / MANIFEST
    remedy = f"build it with {INDEX} --images DIR --checkpoint best.pth --out {archive}"
    if not path.is_file():
        what = "is not an archive" if archive.exists() else "there is no such archive"
        raise UserError(archive, what, remedy)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content.get("version") if isinstance(content, dict) else None
        if isinstance(version, int) and version != VERSION:
            what = f"has format version {version}; this program reads version {VERSION}"
            raise UserError(path, what, f"{remedy} --overwrite")
        return Manifest.model_validate(content)
    except (OSError, ValueError, RecursionError):  # pydantic's error is a ValueError
        raise UserError(path, "is damaged", f"{remedy} --overwrite") from None


def write_manifest(archive: Path, manifest: Manifest) -> None:
    """Puts ``manifest`` in force, then deletes the files that no longer count."""
    write_json(archive / MANIFEST, manifest.model_dump(mode="json"))
    if manifest.images is None:
        return
    kept = {manifest.images, manifest.approximate, manifest.captions, statistics_name(manifest),
            tiles_name(manifest)}  # fmt: skip
    for pattern in (
        "images-*.h5", "captions-*.h5", "*.npz", "*.faiss", "part-*.h5", "*.tmp",
    ):  # fmt: skip
        for path in archive.glob(pattern):
            if path.name not in kept:
                path.unlink(missing_ok=True)


def write_rows(path: Path, files: Sequence[ImageFile], blocks: Iterator[Floats], dim: int) -> None:
    """``blocks`` are the embeddings of ``files``, some rows (b, D) at a time, in order."""
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        names = np.array([one.name for one in files], dtype=object)
        file.create_dataset("names", data=names, dtype=h5py.string_dtype())
        file.create_dataset("sizes", data=np.array([one.size for one in files], dtype=np.int64))
        file.create_dataset(
            "modified", data=np.array([one.modified for one in files], dtype=np.int64)
        )
        embeddings = file.create_dataset("embeddings", (len(files), dim), np.float32)
        start = 0
        for block in blocks:
            embeddings[start : start + len(block)] = block
            start += len(block)


def read_rows(path: Path) -> Rows:
    """Raises UserError for a file that is missing or damaged."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            files = ImageFiles(file["names"][:], file["sizes"][:], file["modified"][:])
            embeddings = _mapped(path, file["embeddings"])
            if len(files) != len(embeddings):
                raise ValueError("each image must have an embedding")
            return Rows(files, embeddings)
    except (OSError, KeyError, AttributeError, TypeError, ValueError, RuntimeError):
        raise _damaged(path) from None


def write_captions(path: Path, captions: Sequence[str], embeddings: Floats) -> None:
    """captions (C,), embeddings (C, D)."""
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file.create_dataset("captions", data=list(captions), dtype=h5py.string_dtype())
        file.create_dataset("embeddings", data=embeddings)


def read_captions(path: Path) -> tuple[list[str], Floats]:
    """captions (C,) and embeddings (C, D); raises UserError for a file that is damaged."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            captions = file["captions"].asstr()[:].tolist()
            embeddings = np.asarray(file["embeddings"][()], dtype=np.float32)
    except (OSError, KeyError, AttributeError, TypeError, ValueError, RuntimeError):
        raise _damaged(path) from None
    if embeddings.ndim != 2 or len(embeddings) != len(captions):
        raise _damaged(path)
    return captions, embeddings


def statistics_name(manifest: Manifest) -> str:
    """The file of the statistics of these images with these captions."""
    stamp = hashlib.sha256(f"{manifest.images} {manifest.captions}".encode()).hexdigest()
    return f"rerank-{stamp[:16]}.npz"


def tiles_name(manifest: Manifest) -> str:
    """The file that says where the tiles of these images lie."""
    return f"tiles-{Path(manifest.images or '').stem.removeprefix('images-')}.npz"


def read_statistics(path: Path) -> dict[str, NDArray[np.generic]]:
    """Arrays by name; none where there is no file, or one that is damaged: it is made again."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as stored:
            return dict(stored)
    except DAMAGED_ARRAYS:
        return {}


def write_statistics(path: Path, statistics: Mapping[str, NDArray[np.generic]]) -> None:
    """Writes the arrays; an archive that may not be written to goes without."""
    with (
        contextlib.suppress(RunError),
        atomic_path(path) as temporary,
        temporary.open("wb") as file,
    ):
        np.savez(file, allow_pickle=False, **statistics)


@contextlib.contextmanager
def only_builder(archive: Path) -> Iterator[None]:
    """Keeps a second build of the same archive away; UserError for that one."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(ImportError):  # where the system has no such locks
            import fcntl

            handle = os.open(archive, os.O_RDONLY)
            stack.callback(os.close, handle)  # which also unlocks
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(
                    archive, "another process is building this archive", "wait for it, or stop it"
                ) from None
            except OSError:  # a file system without locks
                pass
        yield


def _mapped(path: Path, dataset: h5py.Dataset) -> Floats:
    if dataset.dtype != np.float32 or dataset.ndim != 2:
        raise ValueError("embeddings must be (I, D) float32")
    if 0 in dataset.shape:
        return np.empty(dataset.shape, dtype=np.float32)
    return np.memmap(
        path, np.float32, mode="r", offset=dataset.id.get_offset(), shape=dataset.shape
    )


def _damaged(path: Path) -> UserError:
    return UserError(path, "is missing or damaged", DAMAGED)
