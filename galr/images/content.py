"""Digests of image files; a file is read again only if its size or times have changed.

They distinguish images of the same name and time. A digest is 8 bytes of BLAKE2b, as int64: enough
against accidents, not against deliberate collisions.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from galr.common.atomic import write_text
from galr.common.errors import RunError, UserError
from galr.common.processes import cores
from galr.images.decoding import decode_image
from galr.options import DatasetOptions

MEMO = "image_digests.json"
# a file written this recently may be written again without a new time
UNSETTLED_NS = 2_000_000_000
BLOCK = 1 << 20
SAMPLE = 64  # images that are compared if comparing all would take long

Stamp = tuple[int, int, int]  # size in bytes, and the times in ns when content and entry changed
_seen: dict[tuple[str, Stamp], int] = {}  # by this process


class Contents(NamedTuple):
    """(I,) int64 each: size in bytes, time of the last change in ns, digest."""

    sizes: NDArray[np.int64]
    modified: NDArray[np.int64]
    digests: NDArray[np.int64]


def image_contents(
    folder: str | Path,
    names: Sequence[str],
    memos: Iterable[Path] = (),
    *,
    keep: bool = False,
    anew: bool = False,
) -> Contents:
    """The contents of the image files ``names`` in ``folder``.

    ``memos``: files that may contain digests of an earlier call, in order of preference; with
    ``keep``, new digests are written there if possible. ``anew``: read every file. Raises UserError
    for a missing file.
    """
    paths = [os.path.join(folder, name) for name in names]
    stamps = [_stamp(path) for path in paths]
    memos = list(memos)
    known = {} if anew else _read(memos)
    found: dict[int, int] = {}
    for index, (name, path, stamp) in enumerate(zip(names, paths, stamps, strict=True)):
        entry = known.get(name, [])
        if not anew and (path, stamp) in _seen:
            found[index] = _seen[path, stamp]
        elif entry[:3] == [*stamp]:
            found[index] = entry[3]
    wanting = [index for index in range(len(paths)) if index not in found]
    with ThreadPoolExecutor(cores()) as pool:
        found |= zip(wanting, pool.map(digest_of_file, [paths[i] for i in wanting]), strict=True)
    lately = time.time_ns() - UNSETTLED_NS
    new = {index for index in wanting if max(stamps[index][1:]) < lately}
    _seen.update({(paths[index], stamps[index]): found[index] for index in new})
    fresh = {
        name: [*stamp, found[index]]
        for index, (name, stamp) in enumerate(zip(names, stamps, strict=True))
        if index in new or (paths[index], stamp) in _seen
    }
    if keep and any(known.get(name) != entry for name, entry in fresh.items()):
        _write(memos, known | fresh)
    digests = np.array([found[index] for index in range(len(paths))], np.int64)
    table = np.array(stamps, np.int64).reshape(-1, 3)
    return Contents(table[:, 0], table[:, 1], digests)


def memo_files(options: DatasetOptions) -> list[Path]:
    """Files for the digests of a data set's images."""
    if options.image_cache == "off":
        return []
    return [folder / MEMO for folder in cache_folders(options)]


def image_digests(options: DatasetOptions, names: Sequence[str]) -> NDArray[np.int64]:
    """(I,) digests of images of a data set; writes nothing."""
    return image_contents(options.image_folder, names, memo_files(options)).digests


def cache_folders(options: DatasetOptions) -> list[Path]:
    """Folders for caches according to ``image_cache``, in order of preference."""
    data = Path(options.data_path)
    digest = hashlib.sha256(str(options.image_folder.resolve()).encode()).hexdigest()[:8]
    # a folder shared by several data sets keeps them separate
    shared = f"{data.resolve().name}-{digest}"
    if options.image_cache != "auto":
        return [Path(options.image_cache).expanduser() / shared]
    own = data / "image_cache" / (digest if options.image_path else "")
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return [own, Path(home) / "galr" / shared]


def changed_images(
    folder: str | Path, names: Sequence[str], digests: NDArray[np.int64]
) -> tuple[list[str], int]:
    """Those of a SAMPLE of the images ``names`` whose content differs from ``digests`` (I,).

    Also returns how many were compared: 0 if one of them is missing.
    """
    rows = np.unique(np.linspace(0, len(names) - 1, min(SAMPLE, len(names))).astype(int))
    chosen = [names[row] for row in rows]
    try:
        now = image_contents(folder, chosen).digests
    except UserError:  # reported by whoever needs it
        return [], 0
    differ = now != np.asarray(digests)[rows]
    return [name for name, is_other in zip(chosen, differ, strict=True) if is_other], len(chosen)


def digest_of_file(path: str | Path) -> int:
    """The digest of a file's content."""
    digest = hashlib.blake2b(digest_size=8)
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return int.from_bytes(digest.digest(), "little", signed=True)


def digests_of_rows(rows: NDArray[np.generic]) -> NDArray[np.int64]:
    """(I,) digests of the rows of an array (I, ...), which may be mapped from a file."""

    def digest(row: NDArray[np.generic]) -> int:
        content = hashlib.blake2b(np.ascontiguousarray(row).data, digest_size=8).digest()
        return int.from_bytes(content, "little", signed=True)

    with ThreadPoolExecutor(cores()) as pool:
        return np.fromiter(pool.map(digest, rows), np.int64, len(rows))


def _stamp(path: str) -> Stamp:
    try:
        stat = os.stat(path)
    except OSError:
        decode_image(path)  # raises the usual error for a missing image
        raise
    # copies that preserve size and time, such as cp -p, cannot preserve the entry's time
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _read(memos: Sequence[Path]) -> dict[str, list[int]]:
    for memo in memos:
        with contextlib.suppress(OSError, ValueError, RecursionError, KeyError, TypeError):
            content = json.loads(memo.read_text(encoding="utf-8"))
            entries = content["images"]
            # a damaged digest would tell of images that changed
            if isinstance(entries, dict) and content["crc32"] == _checksum(entries):
                return {name: entry for name, entry in entries.items() if _is_entry(entry)}
    return {}


def _checksum(entries: dict[str, list[int]]) -> int:
    return zlib.crc32(json.dumps(entries).encode())


def _is_entry(entry: object) -> bool:
    return (
        isinstance(entry, list)
        and len(entry) == 4
        and all(type(number) is int and -(2**63) <= number < 2**63 for number in entry)
    )


def _write(memos: Sequence[Path], entries: dict[str, list[int]]) -> None:
    for memo in memos:
        with contextlib.suppress(RunError):
            write_text(memo, json.dumps({"crc32": _checksum(entries), "images": entries}))
            return
