"""HDF5 files: on disks that fail, and of strangers, that the library would not come back from."""

from __future__ import annotations

import contextlib
import io
import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from galr.common.claims import HARMLESS, MOST_PACKED

# the global heap, where texts lie: signature, version, reserved; then its size
_HEAP = b"GCOL\x01\0\0\0"
_HEADER = 16  # bytes of a heap, and of each of its objects
_NUMBERS_AND_TEXTS = (
    h5py.h5t.TypeIntegerID, h5py.h5t.TypeFloatID, h5py.h5t.TypeEnumID, h5py.h5t.TypeStringID,
)  # fmt: skip
ENDS = 16 << 20  # bytes at either end of a file; texts lie before the arrays, or after them


class _Disk(io.FileIO):
    """A file whose failures are kept, while whoever writes to it goes on."""

    error: BaseException | None = None

    def write(self, content: Any, /) -> int:  # noqa: ANN401 - bytes of any kind
        """All of ``content``, or nothing after a failure; returns its length."""
        rest = memoryview(content).cast("B")
        length = len(rest)
        try:
            while rest and self.error is None:
                rest = rest[super().write(rest) :]
        except BaseException as error:  # noqa: BLE001 - Ctrl-C too may come here
            self.error = error
        return length

    def truncate(self, size: int | None = None, /) -> int:
        """Nothing after a failure."""
        try:
            if self.error is None:
                return super().truncate(size)
        except BaseException as error:  # noqa: BLE001
            self.error = error
        return size or 0


@contextlib.contextmanager
def write_hdf5(path: str | Path, mode: str = "w") -> Iterator[h5py.File]:
    """An HDF5 file that is written, with ``mode`` as that of ``h5py.File``: "w" or "r+".

    Raises OSError at the end where the disk has failed. The library itself must not hear of it: it
    would crash the process later, since it can neither write nor forget what is left.
    """
    with _Disk(path, "wb+" if mode == "w" else "rb+") as disk:
        try:
            with h5py.File(disk, mode) as file:
                yield file
        finally:
            if disk.error is not None:
                raise disk.error


def check_heaps(path: str | Path) -> None:
    """Raises OSError for a file whose texts are damaged so that HDF5 would look for them for ever.

    The library goes from object to object by the size that each states, and stays where it is 0.
    """
    with open(path, "rb") as file:
        if file.seek(0, 2) == 0:
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            for first, end in _parts(len(content)):
                at = content.find(_HEAP, first, end)
                while at >= 0:
                    _check_heap(content, at)
                    at = content.find(_HEAP, at + len(_HEAP), end)


def own_attributes(file: h5py.File) -> dict[str, Any]:
    """The attributes of ``file``, which are numbers and texts.

    Raises ValueError for one of another type: sequences of a damaged kind crash the library.
    """
    try:
        for name in file.attrs:
            kind = file.attrs.get_id(name).get_type()
            if not isinstance(kind, _NUMBERS_AND_TEXTS):
                raise ValueError(f"its attribute {name} is neither numbers nor text")
        return dict(file.attrs)
    except RuntimeError as error:  # as the library says that their names are damaged
        raise ValueError(f"its attributes are damaged ({error})") from None


def own_dataset(file: h5py.File, name: str) -> h5py.Dataset:
    """A dataset that lies in ``file`` itself.

    Raises KeyError where there is none, and ValueError for a link to another file or dataset, for
    one whose numbers lie in other files, and for one that claims more than the file can hold.
    """
    link = file.get(name, getlink=True)
    dataset = file[name] if isinstance(link, h5py.HardLink) else None
    if link is None:
        raise KeyError(name)
    if not isinstance(dataset, h5py.Dataset) or dataset.external or dataset.is_virtual:
        raise ValueError(f"{name} is no dataset of its own")
    stored = min(dataset.id.get_storage_size(), os.path.getsize(file.filename))
    # a text takes microseconds, and 16 bytes of the dataset
    is_text = dataset.dtype.kind == "O"
    if is_text and h5py.check_string_dtype(dataset.dtype) is None:
        raise ValueError(f"{name} is neither numbers nor text")
    limit = max(1_000_000, 8 * stored) if is_text else max(HARMLESS, MOST_PACKED * stored)
    if dataset.nbytes > limit:
        raise ValueError(
            f"{name} claims {dataset.nbytes / 1e6:,.0f} MB, and holds {stored:,} bytes"
        )
    offset = dataset.id.get_offset()
    if is_text and offset is not None:
        _check_texts(file.filename, offset, dataset.size)
    return dataset


def _check_texts(path: str, offset: int, count: int) -> None:
    """The library would look for texts of any length, anywhere."""
    kind = np.dtype([("length", "<u4"), ("address", "<u8"), ("index", "<u4")])
    texts, size = np.fromfile(path, kind, count, offset=offset), os.path.getsize(path)
    if ((texts["length"] > size) | ((texts["length"] > 0) & (texts["address"] >= size))).any():
        raise ValueError("its texts are damaged")


def _parts(length: int) -> list[tuple[int, int]]:
    if length <= 2 * ENDS:
        return [(0, length)]
    return [(0, ENDS), (length - ENDS, length)]


def _check_heap(content: mmap.mmap, at: int) -> None:
    if at + _HEADER > len(content):
        return  # the library sees that itself
    end = at + struct.unpack_from("<Q", content, at + 8)[0]
    place = at + _HEADER
    while place + _HEADER <= min(end, len(content)):
        index, _, _, size = struct.unpack_from("<HHIQ", content, place)
        step = _HEADER + (size + 7) // 8 * 8 if index else size
        if step < 1 or place + step > end:
            raise OSError("its texts are damaged")
        place += step
