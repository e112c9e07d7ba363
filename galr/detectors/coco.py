"""COCO results: a JSON list of detections, and the JSON list of their images."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

from galr.common.errors import UserError
from galr.local_features.classes import ClassNames
from galr.local_features.numbering import CHOICES
from galr.local_features.records import BadEntry, Fault, Found, Record

Key = int | str
Size = tuple[int, int] | None


class CocoImage(NamedTuple):
    """An entry of the list of images."""

    file_name: str
    size: Size  # width, height


class CocoFiles(NamedTuple):
    """Detections by image id, and entries that could not be read."""

    images: dict[Key, CocoImage]
    found: dict[Key, Found]
    faults: list[Fault]


def read_coco(results: Path, images: Path, classes: ClassNames) -> CocoFiles:
    """Reads both files.

    A category_id is a class name, or a number defined by ``categories`` in the list of images or by
    ``classes.numbering``. Raises UserError for files of another structure and for undefined
    numbers.
    """
    entries, listed = _load(results), _load(images)
    if not isinstance(entries, list):
        raise UserError(results, "is not a list of detections", "give COCO's results format")
    categories = listed.get("categories") if isinstance(listed, dict) else None
    by_id = _images(listed, images)
    numbering = _numbering(entries, categories, classes.numbering, results, images)
    known = ClassNames(classes.classes, numbering)
    files = CocoFiles(by_id, {}, [])
    for number, entry in enumerate(entries, start=1):
        place = (f"{results}: entry ", number)
        try:
            image, record = _read_entry(entry, by_id, known)
        except BadEntry as error:
            files.faults.append(Fault.of(f"{place[0]}{number}", error))
            continue
        found = files.found.setdefault(image, Found.nothing())
        found.records.append(record)
        found.places.append(place)
    return files


def _load(path: Path) -> Any:  # noqa: ANN401 - JSON is any value
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(
            path,
            f"cannot be read ({error.strerror})",
            "name a folder with results.json and images.json, or both files",
        ) from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path}:{error.lineno}", f"not JSON ({error.msg})", "correct it") from None
    except (ValueError, RecursionError) as error:
        raise UserError(path, f"not readable as JSON ({error})", "correct it") from None


def _images(listed: Any, path: Path) -> dict[Key, CocoImage]:  # noqa: ANN401 - JSON
    entries = listed.get("images") if isinstance(listed, dict) else listed
    if not isinstance(entries, list):
        raise UserError(
            path, "has no list of images", 'write [{"id", "file_name", "width", "height"}, ...]'
        )
    by_id: dict[Key, CocoImage] = {}
    for number, entry in enumerate(entries, start=1):
        place = f"{path}: image {number}"
        if not (
            isinstance(entry, dict)
            and isinstance(entry.get("file_name"), str)
            and _is_key(entry.get("id"))
        ):
            raise UserError(place, "has no id and file_name", "write both")
        if entry["id"] in by_id:
            raise UserError(place, f"duplicate id {entry['id']}", "make the ids unique")
        by_id[entry["id"]] = CocoImage(entry["file_name"], _size(entry, place))
    return by_id


def _size(entry: dict[str, Any], place: str) -> Size:
    size = entry.get("width"), entry.get("height")
    if size == (None, None):
        return None
    if not all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in size):
        raise UserError(place, f"width and height are {size[0]} and {size[1]}", "write pixels")
    return size  # type: ignore[return-value]  # two whole numbers, as just checked


def _numbering(
    entries: list[Any],
    categories: Any,  # noqa: ANN401 - JSON
    stated: Mapping[Any, str] | None,
    results: Path,
    images: Path,
) -> Mapping[Any, str] | None:
    """The name of each category_id; None if the detections contain names."""
    if categories is None:
        if stated is None and any(_has_number(entry) for entry in entries):
            raise UserError(
                results,
                f"contains class numbers (category_id), but {images} has no categories for them",
                "add these, or define the numbers with --first-category and --classes: " + CHOICES,
            )
        return stated
    if stated is not None:
        raise UserError(images, "has categories, which define the class numbers", "omit --classes")
    if not isinstance(categories, list) or not all(
        isinstance(entry, dict) and isinstance(entry.get("name"), str) and _is_key(entry.get("id"))
        for entry in categories
    ):
        raise UserError(images, "its categories are not a list of id and name", "correct them")
    named = {entry["id"]: entry["name"] for entry in categories}
    if len(named) < len(categories):
        raise UserError(images, "its categories have duplicate ids", "make the ids unique")
    return named


def _has_number(entry: Any) -> bool:  # noqa: ANN401 - JSON
    category = entry.get("category_id") if isinstance(entry, dict) else None
    return isinstance(category, int) and not isinstance(category, bool)


def _is_key(value: Any) -> TypeGuard[Key]:  # noqa: ANN401 - JSON
    return isinstance(value, int | str) and not isinstance(value, bool)


def _read_entry(
    entry: Any,  # noqa: ANN401 - JSON
    images: dict[Key, CocoImage],
    classes: ClassNames,
) -> tuple[Key, Record]:
    if not isinstance(entry, dict):
        raise BadEntry("is not an object with image_id, category_id, bbox and score")
    image, category = entry.get("image_id"), entry.get("category_id")
    if _is_key(image) and image not in images:  # one file may contain strings, the other numbers
        image = int(image) if str(image).isdecimal() and isinstance(image, str) else str(image)
    if not _is_key(image) or image not in images:
        raise BadEntry(f"image_id {entry.get('image_id')!r} is not in the list of images")
    if not _is_key(category):
        raise BadEntry(f"category_id {category!r} is neither a number nor a name")
    if isinstance(category, str) and category not in (classes.numbering or ()):
        index = classes.named(category)
    else:
        index = classes.numbered(category)
    box = entry.get("bbox")
    if not isinstance(box, list) or len(box) != 4:
        raise BadEntry("bbox is not [left, top, width, height]")
    score, left, top, width, height = (_number(value) for value in (entry.get("score"), *box))
    return image, Record(index, score, (left, top, left + width, top + height))


def _number(value: Any) -> float:  # noqa: ANN401 - JSON
    try:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    except OverflowError:  # an integer too large for a float
        pass
    raise BadEntry(f"{value!r:.40} is not a finite number")
