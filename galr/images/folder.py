"""A folder of images as people have it: what lies in it, and which file a name means."""

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

# what systems leave behind
_FOLDERS = frozenset({"__macosx", "@eadir", "$recycle.bin", "system volume information"})
_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})
HIDDEN, LINK, BARE = "hidden", "links", "without a suffix"
NAME = "of names with line breaks, control characters or bytes that are no UTF-8"
# images of a kind that is not read: to be told as a warning
_PICTURES = {".heic": "HEIC", ".heif": "HEIC", ".avif": "AVIF", ".jxl": "JPEG XL", ".svg": "SVG"}


class Listing(NamedTuple):
    """Files below a folder, by name; ``skipped`` counts those passed over, by kind."""

    folder: Path
    names: tuple[str, ...]  # relative to it, with slashes
    skipped: Counter[str]

    def __str__(self) -> str:
        """Such as ``images: 600 images; passed over 6 hidden, 2 HEIC``."""
        passed = ", ".join(f"{count} {kind}" for kind, count in self.skipped.most_common())
        return f"{self.folder}: {len(self.names)} images; passed over {passed}"

    @property
    def loses_pictures(self) -> bool:
        """Whether what was passed over may be images that are wanted."""
        return any(kind in (LINK, NAME, BARE, *_PICTURES.values()) for kind in self.skipped)


def list_files(folder: str | Path) -> Listing:
    """All files below ``folder`` but hidden ones and what systems leave behind.

    Links to folders are not followed. A name with a line break, a control character or bytes that
    are no UTF-8 is passed over, since it can stand in no list.
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
                skipped[LINK] += 1  # to nothing
            else:
                names.append(relative)
    return Listing(Path(folder), tuple(sorted(names)), +skipped)


def list_images(folder: str | Path, remedy: str = "name the images' folder") -> Listing:
    """The image files below ``folder``; one line in the log counts what was passed over.

    Raises UserError where there is no such folder, or no image in it.
    """
    if not Path(folder).is_dir():
        raise UserError(folder, "there is no such folder of images", remedy)
    files = list_files(folder)
    images = tuple(name for name in files.names if IMAGE.search(name))
    kept = set(images)
    skipped = files.skipped + Counter(_kind(name) for name in files.names if name not in kept)
    listing = files._replace(names=images, skipped=skipped)
    if skipped:
        logger.log(logging.WARNING if listing.loses_pictures else logging.INFO, "%s", listing)
    if not images:
        passed = f" (passed over {str(listing).rpartition('over ')[2]})" if skipped else ""
        raise UserError(folder, f"holds no image files{passed}", remedy)
    return listing


def found_names(
    names: Sequence[str],
    folder: str | Path,
    place: Callable[[int], str],
    remedy: str = "put it there, or name the folder of the images (dataset.image_path, --images)",
) -> list[str]:
    """The file in ``folder`` of each of ``names``: of that name, or the one that alone fits it.

    A fit has another suffix, case, kind of slash or Unicode form, or lies in another folder below;
    one line in the log counts them. ``place`` is what errors call the name of an index, and
    ``remedy`` what they say of a missing file. Raises UserError for a name that nothing or several
    files fit, and for two names of one file.
    """
    folder = Path(folder)
    # one listing is thousands of times faster than asking for each file on a network disk
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
                f"there is no image {folder / name}, and {len(found)} files may be meant: "
                + ", ".join(map(repr, found[:3])),
                "write the name of the file",
            )
        if taken.setdefault(found[0], name) != name:
            raise UserError(
                place(number),
                f"the file {folder / found[0]} would be of {taken[found[0]]!r} and of {name!r}",
                "write the names of the files",
            )
    kinds = Counter(_difference(name, fits[name][0]) for name in wanting)
    logger.warning(
        "%s: %d of %d images are found by names that differ (%s), for example %s for %s",
        folder, len(wanting), len(distinct),
        ", ".join(f"{kind} {count}" for kind, count in kinds.most_common()),
        ascii(fits[wanting[0]][0]), ascii(wanting[0]),
    )  # fmt: skip
    return [fits[name][0] if name in fits else name for name in names]


def _is_hidden(name: str, known: Iterable[str]) -> bool:
    return name.startswith(".") or name.casefold() in known


def _stands_on_a_line(name: str) -> bool:
    # surrogates stand for bytes that are no UTF-8, control characters would steer a terminal
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
    """What two names of one file differ in: that without which they would not be the same."""

    def same(left: str, right: str, without: str = "") -> bool:
        for kind, change in _SAME.items():
            if kind != without:
                left, right = change(left), change(right)
        return left == right

    if not same(name, other):
        return "folder"
    return " and ".join(kind for kind in _SAME if not same(name, other, kind))
