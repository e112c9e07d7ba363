"""A row of captions: the image it is about, its texts, its split, and where it stands."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from galr.common.errors import UserError
from galr.local_features.names import IMAGE

# names of columns and keys, less capitals, spaces and underscores; the first that is there is taken
IMAGE_COLUMNS = (
    "filename", "image", "imagepath", "imagefile", "imagename", "imgpath", "imgname", "imgfile",
    "img", "file", "filepath", "path", "name", "imageid", "imgid", "id", "key",
)  # fmt: skip
CAPTION_COLUMNS = ("caption", "text", "sentence", "raw", "description", "comment", "txt")
SPLIT_COLUMNS = ("split", "subset", "partition")
SPLITS = {
    "train": "train", "training": "train", "restval": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip


class Row(NamedTuple):
    """``name`` as it was written; captions with single spaces, "" for a missing one; ``split``:
    train, val, test or None; ``place``: file and line."""

    name: str
    captions: tuple[str, ...]
    split: str | None
    place: str


class Wanted(NamedTuple):
    """The columns that the user names; None and () leave it to the usual names."""

    image: str | None = None
    captions: tuple[str, ...] = ()
    split: str | None = None  # "none": there is no such column


USUAL = Wanted()


class _Keys(NamedTuple):
    image: str
    folder: str | None  # Karpathy's COCO files: filepath is the folder of filename
    captions: tuple[str, ...]
    split: str | None


class Columns:
    """Which columns of a table, or keys of JSON objects, hold what."""

    def __init__(self, wanted: Wanted = USUAL, *, needs_captions: bool = True) -> None:
        self.wanted, self.needs_captions = wanted, needs_captions
        self._known: dict[tuple[str, ...], _Keys] = {}

    def fits(self, names: Iterable[str]) -> bool:
        """Whether images and captions are found among these columns."""
        found = self._find(tuple(names))
        return found is not None and bool(found.captions)

    def keys(self, names: Iterable[str], place: str | Path) -> _Keys:
        """The columns among ``names``; raises UserError that lists them where there are none."""
        names = tuple(names)
        if names not in self._known:
            found = self._find(names)
            missing = "an image" if found is None else "a caption"
            if found is None or (self.needs_captions and not self._known and not found.captions):
                raise UserError(
                    place,
                    f"has no column of {missing} that is known; its columns are "
                    f"{', '.join(map(repr, names)) or 'none'}",
                    "name them by --image-column and --caption-column",
                )
            self._known[names] = found
        return self._known[names]

    def row(self, record: Mapping[str, Any], place: str, split: str | None = None) -> Row:
        """The row of a record; ``split`` where the record has none."""
        keys = self.keys(record, place)
        name = image_name(record[keys.image], place)
        if keys.folder is not None and record[keys.folder]:
            name = f"{record[keys.folder]}/{name}"
        captions = [text for key in keys.captions for text in texts(record[key], place)]
        own = None if keys.split is None else split_of(record[keys.split], place)
        return Row(name, tuple(captions), own or split, place)

    def __str__(self) -> str:
        found = next(iter(self._known.values()), None)
        if found is None:
            return "without a row"
        captions = [repr(name) for name in found.captions]
        if len(captions) > 2:
            captions = [f"{captions[0]} to {captions[-1]}"]
        split = f", split in {found.split!r}" if found.split else ""
        return f"images in {found.image!r}, captions in {' and '.join(captions)}{split}"

    def _find(self, names: tuple[str, ...]) -> _Keys | None:
        plain = {_plain(name): name for name in reversed(names)}
        images = [plain[name] for name in IMAGE_COLUMNS if name in plain]
        image = self.wanted.image if self.wanted.image is not None else next(iter(images), None)
        if image not in names:
            return None
        folder = None
        if self.wanted.image is None and _plain(image) == "filename":
            folder = plain.get("filepath")
        split: str | None = next((plain[name] for name in SPLIT_COLUMNS if name in plain), None)
        if self.wanted.split is not None:
            split = None if self.wanted.split == "none" else self.wanted.split
            if split is not None and split not in names:
                return None
        if self.wanted.captions:
            captions = self.wanted.captions if set(self.wanted.captions) <= set(names) else ()
        else:
            kinds = [re.sub(r"s?\d*$", "", _plain(name)) for name in names]
            kind = next((kind for kind in CAPTION_COLUMNS if kind in kinds), None)
            captions = tuple(
                name
                for name, own in zip(names, kinds, strict=True)
                if own == kind and name != image
            )
        return _Keys(image, folder, captions, split)


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.lower())


def image_name(value: Any, place: str) -> str:  # noqa: ANN401 - whatever a file holds
    """An image's name, which may be a number; "" where it is missing."""
    if isinstance(value, Mapping):  # an image of Hugging Face
        value = value.get("path")
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise UserError(place, f"the image's name is {value!r}", "write a file's name")
    return str(value).strip()


def texts(value: Any, place: str) -> Iterator[str]:  # noqa: ANN401 - whatever a file holds
    """The captions in a cell: a text, a list, objects with a text; "" for a missing one."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        yield ""
    elif isinstance(value, str):
        if value.startswith("[") and value.rstrip().endswith("]"):
            listed = _list_in(value)
            if listed is not None:
                yield from texts(listed, place)
                return
        text = " ".join(value.split())
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UserError(place, f"caption {text!r} is no text", "write it anew") from None
        yield text
    elif isinstance(value, Mapping):
        plain = {_plain(str(key)): key for key in value}
        key = next((plain[name] for name in CAPTION_COLUMNS if name in plain), None)
        if key is None:
            raise UserError(place, "has a caption without a text", "give it the key `raw`")
        yield from texts(value[key], place)
    elif isinstance(value, Sequence) and not isinstance(value, bytes):
        for item in value:
            yield from texts(item, place)
    else:
        raise UserError(
            place, f"caption {value!r} is no text", "name the right column by --caption-column"
        )


def _list_in(cell: str) -> list[str] | None:
    """The texts of a cell that holds a list as JSON, Python or numpy write it."""
    # numpy puts white space alone between the texts, which Python would join
    separated = re.sub(r"(?<=['\"])\s+(?=['\"])", ", ", cell)
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(separated)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(found, list) and all(isinstance(text, str) for text in found):
            return found
    return None


def split_of(value: Any, place: str) -> str | None:  # noqa: ANN401 - whatever a file holds
    """The split that a cell names; None where it is empty."""
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return None
    split = SPLITS.get(str(value).strip().lower())
    if split is None:
        raise UserError(
            place,
            f"is of split {value!r}",
            "the splits are train, val and test; --split-column none makes a split anew",
        )
    return split


def split_in_name(path: Path) -> str | None:
    """The split that a file's or folder's name states: ``rsitmd_train.json``, ``val-00001.tar``."""
    words = re.findall(r"[a-z]+", path.name.lower())
    found = {SPLITS[word] for word in words if word in SPLITS}
    return found.pop() if len(found) == 1 else None


def looks_like_image(name: str) -> bool:
    """Whether a cell is the name of an image, also one of Flickr8k's ``name.jpg#0``."""
    return IMAGE.search(re.sub(r"#\d+$", "", name.strip())) is not None
