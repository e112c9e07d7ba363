"""Objects and edges of DREA, as the page draws them over an image."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from galr.common.errors import UserError
from galr.detectors.inspect import class_name, objects_of, strongest_edges
from galr.local_features.names import NameIndex
from galr.local_features.store import read_store
from galr.search.store import Manifest

EDGES = 10


class Objects:
    """The objects that the local branch was given, from the store that an archive was made with."""

    def __init__(self, path: str | Path, manifest: Manifest) -> None:
        """Raises UserError for another store than the archive's."""
        self._store = read_store(path)
        if manifest.local != hashlib.sha256(Path(path).read_bytes()).hexdigest():
            what = "is not the store that the archive was built with"
            raise UserError(path, what, "name that one, or omit --local")
        self._index = NameIndex(self._store.names)

    def of(self, name: str) -> dict[str, Any] | None:
        """Boxes as shares of the image (left, top, width, height) and the strongest edges.

        None for an image that the store does not hold.
        """
        rows = self._index.rows(name)
        if len(rows) != 1:
            return None
        found = objects_of(self._store, rows[0])
        edges = strongest_edges(
            self._store.features.adjacency[rows[0]][: len(found), : len(found)], EDGES
        )
        return {
            "objects": [
                {
                    "label": class_name(self._store, one.category),
                    "score": one.score,
                    "box": [*(one.centre - one.size / 2).tolist(), *one.size.tolist()],
                }
                for one in found
            ],
            "edges": edges,
        }
