"""Captions in one JSON file: Karpathy, COCO, NWPU-Captions, lists of records, mappings."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from galr.common.errors import UserError
from galr.preparation.layouts.rows import SPLITS, Columns, Row, image_name, split_of, texts

REMEDY = "docs/own_data.md shows the layouts that are read"

# whatever the JSON held
Content: TypeAlias = Any
Read = Callable[[Path, Content, Columns, str | None], Iterator[Row]]


class Layout(NamedTuple):
    """What a JSON holds, in words, and the reader of its rows."""

    said: str
    read: Read


def load_json(path: Path) -> Content:
    """The content of a JSON file; raises UserError where it is none."""
    try:
        return json.loads(path.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise UserError(path, "is not UTF-8 text", "save the file as UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise UserError(path, f"is no JSON ({error})", REMEDY) from None


def find_layout(path: Path, content: Content) -> Layout:
    """The layout of a JSON's content; raises UserError where it is none that is known."""
    if isinstance(content, list) and content:
        if all(isinstance(item, dict) for item in content):
            return Layout("a JSON list of records", _records)
        if all(isinstance(item, list) and len(item) > 1 for item in content):
            return Layout("a JSON list of pairs", _pairs)
    if isinstance(content, dict) and content:
        images, annotations = content.get("images"), content.get("annotations")
        if isinstance(images, list) and isinstance(annotations, list):
            return Layout("COCO captions", _coco)
        if isinstance(images, list):
            return Layout("a JSON in the Karpathy layout", _in_key("images"))
        lists = {key: value for key, value in content.items() if isinstance(value, list)}
        objects = [item for value in lists.values() for item in value if isinstance(item, dict)]
        if len(lists) == len(content) and objects:
            if all(key.lower() in SPLITS for key in lists):
                return Layout("JSON lists of records by split", _by_split)
            if any("raw" in item for item in objects):
                return Layout("NWPU-Captions' JSON, classes of rows", _nwpu)
        if len(lists) == 1 and objects:
            return Layout("a JSON list of records", _in_key(next(iter(lists))))
        if all(isinstance(value, str | list | dict) for value in content.values()):
            return Layout("a JSON mapping of images to captions", _mapping)
    raise UserError(path, "is in no layout of captions that is known", REMEDY)


def _records(
    path: Path,
    content: Content,
    columns: Columns,
    split: str | None,
    where: str = "",
) -> Iterator[Row]:
    # a key that one record has and another has not is a missing value there
    names = list(dict.fromkeys(key for item in content if isinstance(item, dict) for key in item))
    columns.keys(names, path)
    for number, item in enumerate(content):
        place = f"{path}: {where}[{number}]"
        if not isinstance(item, dict):
            raise UserError(place, "is no object", REMEDY)
        record = item if len(item) == len(names) else {name: item.get(name) for name in names}
        yield columns.row(record, place, split)


def _in_key(key: str) -> Read:
    def read(path: Path, content: Content, columns: Columns, split: str | None) -> Iterator[Row]:
        return _records(path, content[key], columns, split, key)

    return read


def _by_split(path: Path, content: Content, columns: Columns, split: str | None) -> Iterator[Row]:
    for key, records in content.items():
        yield from _records(path, records, columns, SPLITS[key.lower()], key)


def _pairs(path: Path, content: Content, columns: Columns, split: str | None) -> Iterator[Row]:
    for number, (name, *captions) in enumerate(content):
        place = f"{path}: [{number}]"
        yield Row(image_name(name, place), tuple(texts(captions, place)), split, place)


def _nwpu(path: Path, content: Content, columns: Columns, split: str | None) -> Iterator[Row]:
    for kind, records in content.items():
        for row in _records(path, records, columns, split, kind):
            yield row._replace(name=f"{kind}/{row.name}" if row.name else "")


def _mapping(path: Path, content: Content, columns: Columns, split: str | None) -> Iterator[Row]:
    for name, value in content.items():
        place, own = f"{path}: {name}", split
        if isinstance(value, Mapping):
            own = split_of(value.get("split"), place) or split
        yield Row(name, tuple(texts(value, place)), own, place)


def _coco(path: Path, content: Content, columns: Columns, split: str | None) -> Iterator[Row]:
    names, splits = {}, {}
    columns = Columns(columns.wanted, needs_captions=False)
    for number, image in enumerate(content["images"]):
        place = f"{path}: images[{number}]"
        if not isinstance(image, dict) or "id" not in image:
            raise UserError(place, "has no `id`", REMEDY)
        row = columns.row(image, place, split)
        names[image_name(image["id"], place)], splits[row.name] = row.name, row.split
    described = set()
    for number, annotation in enumerate(content["annotations"]):
        place = f"{path}: annotations[{number}]"
        if not isinstance(annotation, dict) or not {"image_id", "caption"} <= set(annotation):
            raise UserError(place, "has no `image_id` or no `caption`", REMEDY)
        key = image_name(annotation["image_id"], place)
        if key not in names:
            raise UserError(place, f"is about an image {key} that `images` has not", REMEDY)
        described.add(key)
        captions = tuple(texts(annotation["caption"], place))
        yield Row(names[key], captions, splits[names[key]], place)
    for key, name in names.items():
        if key not in described:
            yield Row(name, ("",), splits[name], f"{path}: images")
