"""Files that are written completely or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from galr.common.errors import RunError


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary name beside ``path`` to write to; it replaces ``path`` when the block ends well.

    Parent folders are made. Raises RunError where the disk refuses.
    """
    path = Path(path)
    # the process number keeps two runs that write the same file from mixing their bytes
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise _refused(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def check_writable(path: str | Path) -> None:
    """Raises RunError where no file could be written to ``path``: before hours are spent on it.

    Parent folders are made.
    """
    path = Path(path)
    if path.is_dir():
        raise RunError(path, "is a folder", "name a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise _refused(path, error) from error


def check_room(folder: str | Path, needed: int) -> None:
    """Raises RunError where the disk of ``folder`` has fewer than ``needed`` bytes left."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise RunError(
            folder,
            f"its disk has {free / 1e9:.2f} GB left of the {needed / 1e9:.2f} GB that are needed",
            "free some space, or use a folder on another disk",
        )


def _refused(path: Path, error: OSError) -> RunError:
    return RunError(
        path,
        f"cannot be written ({error.strerror or error})",
        "check that the folder exists, may be written to and has free space",
    )


def write_text(path: str | Path, text: str) -> None:
    """Writes ``text`` as UTF-8, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:  # noqa: ANN401 - JSON is any value
    """Writes ``value`` as indented JSON, atomically; NaN is refused, since JSON has none."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
