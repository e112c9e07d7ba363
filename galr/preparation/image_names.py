"""Which file of a folder the name of a picture means."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import defaultdict
from pathlib import Path

from galr.common.errors import UserError
from galr.local_features.names import IMAGE, stem


def list_pictures(folder: Path) -> list[str]:
    """The names of the pictures below ``folder``, relative to it with slashes, sorted.

    Hidden files and folders are passed over. Raises UserError where there are none.
    """
    names = []
    for place, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inside = Path(place).relative_to(folder)
        names += [
            (inside / name).as_posix()
            for name in files
            if IMAGE.search(name) and not name.startswith(".")
        ]
    if not names:
        raise UserError(folder, "holds no images", "name the folder of the images by --images")
    return sorted(names)


class ImageNames:
    """Finds the file of a folder that a name from somewhere else means."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names = list_pictures(folder)
        self._exact = frozenset(self.names)
        self._by_stem: dict[str, list[str]] = {}

    def find(self, name: str) -> str:
        """The file that ``name`` means: a path from elsewhere, with another suffix, or none.

        Capitals, Unicode forms and back slashes make no difference where one file alone fits.
        Raises LookupError, which says why, where there is none or more than one.
        """
        if name in self._exact:
            return name
        written = [part for part in re.split(r"[\\/]+", name) if part not in ("", ".", "..")]
        for start in range(len(written)):
            inside = "/".join(written[start:])
            if inside in self._exact:
                return inside
        if not written:
            raise LookupError("names no picture")
        *folders, file = map(_plain, written)
        # a number that a table program made 7.0 of, and Flickr8k's name.jpg#0
        for other in dict.fromkeys((file, re.sub(r"\.0$|#\d+$", "", file))):
            found = self._alike(folders, other)
            if len(found) == 1:
                return found[0]
            if found:
                raise LookupError(f"{name} may be {' or '.join(found[:3])}")
        raise LookupError(f"there is no image {self.folder / name}")

    def _alike(self, folders: list[str], file: str) -> list[str]:
        """The files that differ in suffix or spelling, those with the same suffix first."""
        if not self._by_stem:
            self._by_stem = defaultdict(list)
            for name in self.names:
                self._by_stem[stem(_plain(name.rpartition("/")[2]))].append(name)
        found = []
        for name in self._by_stem.get(stem(file), []):
            *own, own_file = _plain(name).split("/")
            known = min(len(own), len(folders))
            if own[len(own) - known :] == folders[len(folders) - known :]:
                found.append((own_file == file, known, name))
        best = max(((same, known) for same, known, _ in found), default=None)
        return [name for same, known, name in found if (same, known) == best]


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
