"""COCO results: a JSON list of detections, and the JSON list of the images that they are in."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any, NamedTuple

from galr.errors import UserError
from galr.local_features.classes import ClassNames
from galr.local_features.records import BadEntry, Fault, Found, Record

logger = logging.getLogger(__name__)

Key = int | str
Size = tuple[int, int] | None


class CocoImage(NamedTuple):
    """What the list of images says of one."""

    file_name: str
    size: Size  # width, height


class CocoFiles(NamedTuple):
    """Detections by image id, and what could not be read."""

    images: dict[Key, CocoImage]
    found: dict[Key, Found]
    faults: list[Fault]


def read_coco(
    results: Path, images: Path, classes: ClassNames, first_category: int | None = None
) -> CocoFiles:
    """Reads both files.

    Categories are matched by name where the list of images has ``categories``; else a category_id
    counts the list of classes from ``first_category`` (None: 0 where some id is 0, otherwise 1, as
    COCO does). Raises UserError for a file that is no such list at all.
    """
    entries, listed = _load(results), _load(images)
    if not isinstance(entries, list):
        raise UserError(results, "is not a list of detections", "give COCO's results format")
    categories = listed.get("categories") if isinstance(listed, dict) else None
    indices = (
        _counted(entries, classes, first_category, images)
        if categories is None
        else _named(categories, classes, images)
    )
    by_id = _images(listed, images)
    files = CocoFiles(by_id, {}, [])
    for number, entry in enumerate(entries, start=1):
        place = (f"{results}: entry ", number)
        try:
            image, record = _read_entry(entry, by_id, indices)
        except BadEntry as error:
            files.faults.append(Fault(f"{place[0]}{number}", str(error)))
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
        raise UserError(f"{path}:{error.lineno}", f"not JSON ({error.msg})", "mend it") from None
    except (ValueError, RecursionError) as error:
        raise UserError(path, f"not JSON that can be read ({error})", "mend it") from None


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
            raise UserError(place, f"the id {entry['id']} stands twice", "give each its own")
        by_id[entry["id"]] = CocoImage(entry["file_name"], _size(entry, place))
    return by_id


def _size(entry: dict[str, Any], place: str) -> Size:
    size = entry.get("width"), entry.get("height")
    if size == (None, None):
        return None
    if not all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in size):
        raise UserError(place, f"width and height are {size[0]} and {size[1]}", "write pixels")
    return size  # type: ignore[return-value]  # two whole numbers, as just checked


def _named(categories: Any, classes: ClassNames, path: Path) -> dict[Key, int]:  # noqa: ANN401
    if not isinstance(categories, list) or not all(
        isinstance(entry, dict) and isinstance(entry.get("name"), str) and _is_key(entry.get("id"))
        for entry in categories
    ):
        raise UserError(path, "its categories are not a list of id and name", "mend them")
    found = {entry["id"]: classes.find(entry["name"]) for entry in categories}
    if len(found) < len(categories):
        raise UserError(path, "an id of its categories stands twice", "give each its own")
    return {key: index for key, index in found.items() if index is not None}


def _counted(
    entries: list[Any], classes: ClassNames, first: int | None, path: Path
) -> dict[Key, int]:
    if first is None:
        ids = {entry.get("category_id") for entry in entries if _has_number(entry)}
        first = 0 if 0 in ids else 1
        proof = "as some are 0" if 0 in ids else "as COCO does"
        if ids:
            logger.warning(
                "%s names no categories: category_id is taken to count the classes from %d, %s; "
                "--first-category says otherwise",
                path,
                first,
                proof,
            )
    return {index + first: index for index in range(len(classes.classes))}


def _has_number(entry: Any) -> bool:  # noqa: ANN401 - JSON
    return isinstance(entry, dict) and _is_key(entry.get("category_id"))


def _is_key(value: Any) -> bool:  # noqa: ANN401 - JSON
    return isinstance(value, int | str) and not isinstance(value, bool)


def _read_entry(
    entry: Any,  # noqa: ANN401 - JSON
    images: dict[Key, CocoImage],
    indices: dict[Key, int],
) -> tuple[Key, Record]:
    if not isinstance(entry, dict):
        raise BadEntry("is not an object with image_id, category_id, bbox and score")
    image, category = entry.get("image_id"), entry.get("category_id")
    if not _is_key(image) or image not in images:
        raise BadEntry(f"there is no image of image_id {image!r} in the list of images")
    if not _is_key(category) or category not in indices:
        raise BadEntry(f"there is no class of category_id {category!r} in the list of classes")
    box = entry.get("bbox")
    if not isinstance(box, list) or len(box) != 4:
        raise BadEntry("bbox is not [left, top, width, height]")
    score, left, top, width, height = (_number(value) for value in (entry.get("score"), *box))
    return image, Record(indices[category], score, (left, top, left + width, top + height))


def _number(value: Any) -> float:  # noqa: ANN401 - JSON
    try:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    except OverflowError:  # a whole number beyond any float
        pass
    raise BadEntry(f"{value!r:.40} is not a finite number")
