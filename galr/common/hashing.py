"""Digests of files."""

from __future__ import annotations

import hashlib
from pathlib import Path

from galr.common.errors import UserError


def file_digest(path: str | Path, remedy: str = "correct its name") -> str:
    """The SHA-256 of a file, in hexadecimal; UserError, which says ``remedy``, where it is none."""
    path = Path(path)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "there is no such file"
        raise UserError(path, what, remedy)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
