"""A folder of images: its files, and the file that a name refers to."""

from __future__ import annotations

import logging
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from galr.common.errors import UserError
from galr.local_features.names import IMAGE, NameIndex, stem

logger = logging.getLogger(__name__)

# leftovers of operating systems
_FOLDERS = frozenset({"__macosx", "@eadir", "$recycle.bin", "system volume information"})
_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})
HIDDEN, LINK, BARE = "hidden", "links", "without a suffix"
NAME = "with line breaks, control characters or non-UTF-8 bytes in their names"
# image formats that are not supported: reported as a warning
_PICTURES = {".heic": "HEIC", ".heif": "HEIC", ".avif": "AVIF", ".jxl": "JPEG XL", ".svg": "SVG"}


class Listing(NamedTuple):
    """Files below a folder, by name; ``skipped`` counts ignored ones, by kind."""

    folder: Path
    names: tuple[str, ...]  # relative to it, with slashes
    skipped: Counter[str]

    def __str__(self) -> str:
        """Such as ``images: 600 images; ignored 6 hidden, 2 HEIC``."""
        passed = ", ".join(f"{count} {kind}" for kind, count in self.skipped.most_common())
        return f"{self.folder}: {len(self.names)} images; ignored {passed}"

    @property
    def loses_pictures(self) -> bool:
        """Whether ignored files may be images that are wanted."""
        return any(kind in (LINK, NAME, BARE, *_PICTURES.values()) for kind in self.skipped)


def list_files(folder: str | Path) -> Listing:
    """All files below ``folder``, except hidden ones and leftovers of operating systems.

    Links to folders are not followed. Names with line breaks, control characters or bytes that are
    not UTF-8 are ignored, since no list can contain them.
    """
    names: list[str] = []
    skipped: Counter[str] = Counter()
    for place, folders, files in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        own = [name for name in folders if _is_hidden(name, _FOLDERS)]
        skipped[LINK] += len(links)
        skipped[HIDDEN] += len(own)
        folders[:] = sorted(set(folders) - set(links) - set(own))
        for name in files:
            relative = os.path.relpath(os.path.join(place, name), folder).replace(os.sep, "/")
            if _is_hidden(name, _FILES):
                skipped[HIDDEN] += 1
            elif not _stands_on_a_line(relative):
                skipped[NAME] += 1
            elif not os.path.isfile(os.path.join(place, name)):
                skipped[LINK] += 1  # dangling
            else:
                names.append(relative)
    return Listing(Path(folder), tuple(sorted(names)), +skipped)


def list_images(folder: str | Path, remedy: str = "give the image folder") -> Listing:
    """The image files below ``folder``; one log line counts ignored files.

    Raises UserError if the folder is missing or has no images.
    """
    if not Path(folder).is_dir():
        raise UserError(folder, "there is no such image folder", remedy)
    files = list_files(folder)
    images = tuple(name for name in files.names if IMAGE.search(name))
    kept = set(images)
    skipped = files.skipped + Counter(_kind(name) for name in files.names if name not in kept)
    listing = files._replace(names=images, skipped=skipped)
    if skipped:
        logger.log(logging.WARNING if listing.loses_pictures else logging.INFO, "%s", listing)
    if not images:
        passed = f" (ignored {str(listing).rpartition('ignored ')[2]})" if skipped else ""
        raise UserError(folder, f"contains no image files{passed}", remedy)
    return listing


def found_names(
    names: Sequence[str],
    folder: str | Path,
    place: Callable[[int], str],
    remedy: str = "put it there, or give the image folder (dataset.image_path, --images)",
) -> list[str]:
    """The file in ``folder`` for each of ``names``: of that name, or the only one that matches it.

    A match has another suffix, case, slash direction or Unicode form, or is in another subfolder;
    one log line counts them. ``place`` names an index in errors, ``remedy`` is that for a missing
    file. Raises UserError for a name that matches none or several files, and for two names of the
    same file.
    """
    folder = Path(folder)
    # on a network disk, one listing is thousands of times faster than a look-up per file
    with os.scandir(folder) as entries:
        there = {entry.name for entry in entries}
    distinct = dict.fromkeys(names)
    wanting = [name for name in distinct if name not in there and not (folder / name).is_file()]
    if not wanting:
        return list(names)
    listing = list_files(folder)
    index = NameIndex([name for name in listing.names if IMAGE.search(name)])
    fits = {name: [index.names[row] for row in index.rows(name)] for name in wanting}
    missing = sum(not found for found in fits.values())
    taken = {name: name for name in distinct if name not in fits}
    for number, name in enumerate(names):
        found = fits.get(name, [name])
        if not found:
            raise UserError(
                place(number),
                f"there is no image {folder / name} ({missing} of {len(distinct)} are missing)",
                remedy,
            )
        if len(found) > 1:
            raise UserError(
                place(number),
                f"there is no image {folder / name}, and {len(found)} files match: "
                + ", ".join(map(repr, found[:3])),
                "use the exact file name",
            )
        if taken.setdefault(found[0], name) != name:
            raise UserError(
                place(number),
                f"the file {folder / found[0]} matches both {taken[found[0]]!r} and {name!r}",
                "use the exact file names",
            )
    kinds = Counter(_difference(name, fits[name][0]) for name in wanting)
    logger.warning(
        "%s: %d of %d image names were matched to files that differ (%s), for example %s for %s",
        folder, len(wanting), len(distinct),
        ", ".join(f"{kind} {count}" for kind, count in kinds.most_common()),
        ascii(fits[wanting[0]][0]), ascii(wanting[0]),
    )  # fmt: skip
    return [fits[name][0] if name in fits else name for name in names]


def _is_hidden(name: str, known: Iterable[str]) -> bool:
    return name.startswith(".") or name.casefold() in known


def _stands_on_a_line(name: str) -> bool:
    # surrogates stand for non-UTF-8 bytes; control characters would affect a terminal
    broken = any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name)
    return not broken and len(name.splitlines()) == 1 and name == name.strip()


def _kind(name: str) -> str:
    suffix = os.path.splitext(name)[1]
    return _PICTURES.get(suffix.casefold()) or suffix or BARE


_SAME: dict[str, Callable[[str], str]] = {
    "slashes": lambda name: name.replace("\\", "/"),
    "Unicode form": lambda name: unicodedata.normalize("NFKC", name),
    "case": str.casefold,
    "suffix": stem,
}


def _difference(name: str, other: str) -> str:
    """In what two names of one file differ."""

    def same(left: str, right: str, without: str = "") -> bool:
        for kind, change in _SAME.items():
            if kind != without:
                left, right = change(left), change(right)
        return left == right

    if not same(name, other):
        return "folder"
    return " and ".join(kind for kind in _SAME if not same(name, other, kind))
