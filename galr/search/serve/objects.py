"""Objects and edges of DREA, as the page draws them over an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from galr.common.errors import UserError
from galr.common.hashing import file_digest
from galr.detectors.inspect import drawing
from galr.local_features.names import NameIndex
from galr.local_features.store import read_store
from galr.search.schema import Manifest


class Objects:
    """The objects that the local branch was given, from the store that an archive was made with."""

    def __init__(self, path: str | Path, manifest: Manifest) -> None:
        """Raises UserError for another store than the archive's."""
        self._store = read_store(path)
        if manifest.local != file_digest(path):
            what = "is not the store that the archive was built with"
            raise UserError(path, what, "name that one, or omit --local")
        self._index = NameIndex(self._store.names)

    def of(self, name: str) -> dict[str, Any] | None:
        """``drawing`` of an image; None for one that the store does not hold."""
        rows = self._index.rows(name)
        return drawing(self._store, rows[0]) if len(rows) == 1 else None
