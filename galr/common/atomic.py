"""Files that are written completely or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from galr.common.errors import RunError

ERRNO = re.compile(r"\berrno = (\d+)")


@contextlib.contextmanager
def atomic_path(path: str | Path, *, parents: bool = True) -> Iterator[Path]:
    """A temporary name beside ``path`` to write to, which replaces ``path`` if the block succeeds.

    ``parents``: create missing folders. Removes what killed runs of this machine left in the
    folder. Raises RunError if the disk refuses.
    """
    path = Path(path)
    temporary = temporary_name(path)
    try:
        with refused(path):
            if parents:
                path.parent.mkdir(parents=True, exist_ok=True)
            _remove_leftovers(path.absolute().parent, os.getpid())
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def temporary_name(path: Path) -> Path:
    """A name beside ``path`` that identifies this process and is used by no other living one."""
    return path.with_name(f"{path.name}.{_machine()}-{os.getpid()}.tmp")


@lru_cache
def _machine() -> str:
    """The scope of process ids: a machine, and a container on it."""
    try:
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        space = ""
    return f"{zlib.crc32(f'{platform.node()} {space}'.encode()):08x}"


@lru_cache(maxsize=1024)
def _remove_leftovers(folder: Path, _: int) -> None:
    """Removes what dead processes were writing; checks each folder once per process."""
    try:
        entries = os.scandir(folder)
    except PermissionError:  # it may be written to all the same
        return
    for entry in entries:
        found = re.search(r"\.(\w{8})-(\d+)\.tmp$", entry.name)
        if found and found[1] == _machine() and not _is_alive(int(found[2])):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    os.unlink(entry.path)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # of another person
        pass
    return True


def check_writable(path: str | Path) -> None:
    """Raises RunError if ``path`` cannot be written, before hours are spent on its content.

    Creates parent folders.
    """
    path = Path(path)
    if path.is_dir():
        raise RunError(path, "is a folder", "name a file")
    with refused(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass


def check_room(folder: str | Path, needed: int) -> None:
    """Raises RunError if the disk of ``folder`` has fewer than ``needed`` bytes left."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise RunError(
            folder,
            f"its disk has {free / 1e9:.2f} GB left of the {needed / 1e9:.2f} GB needed",
            "free some space, or use a folder on another disk",
        )


@contextlib.contextmanager
def refused(path: Path) -> Iterator[None]:
    """Raises RunError, which names ``path``, where the disk refuses what the block writes."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        # HDF5 raises RuntimeError if the disk fails while a file is closed
        if isinstance(error, RuntimeError) and not ERRNO.search(str(error)):
            raise
        raise RunError(
            path,
            f"cannot be written ({_reason(error)})",
            "check that the folder exists, is writable and has free space",
        ) from error


def _reason(error: OSError | RuntimeError) -> str:
    """The system's words; HDF5 hides their number among addresses and times."""
    found = ERRNO.search(str(error))
    number = getattr(error, "errno", None) or (int(found[1]) if found else 0)
    return os.strerror(number) if number else str(error)


def write_text(path: str | Path, text: str, *, parents: bool = True) -> None:
    """Writes ``text`` as UTF-8, atomically; ``parents`` as in ``atomic_path``."""
    with atomic_path(path, parents=parents) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:  # noqa: ANN401 - JSON is any value
    """Writes ``value`` as indented JSON, atomically; NaN is refused, since JSON has none."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
