"""The JSON in the Karpathy layout, in which RSICD, RSITMD, UCM and Sydney are published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from galr.common.errors import UserError

REMEDY = 'the layout is {"images": [{"filename", "split", "sentences": [{"raw"}]}]} (docs/data.md)'


class Described(NamedTuple):
    """An image of the JSON: its file name, the split it belongs to and its captions."""

    name: str
    split: str
    captions: tuple[str, ...]


def read_karpathy(path: str | Path) -> list[Described]:
    """The images of a Karpathy JSON, in its order, with white space in captions made single.

    Raises UserError, with the image's number, for what is not in that layout, for a file name that
    is there twice or leads out of the folder of images.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise UserError(path, "there is no such file", "docs/data.md says where it is") from None
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", REMEDY) from None
    except (ValueError, RecursionError) as error:
        raise UserError(path, f"is no JSON ({error})", REMEDY) from None
    images = content.get("images") if isinstance(content, dict) else None
    if not isinstance(images, list) or not images:
        raise UserError(path, "has no list `images`", f"{REMEDY}; --captions reads other layouts")
    described = []
    first: dict[str, int] = {}
    for number, image in enumerate(images):
        try:
            found = _described(image)
        except ValueError as error:
            raise UserError(f"{path}: images[{number}]", str(error), REMEDY) from None
        if found.name in first:
            raise UserError(
                f"{path}: images[{number}]",
                f"{found.name} is images[{first[found.name]}] already",
                "give each image once, with all its sentences",
            )
        first[found.name] = number
        described.append(found)
    return described


def _described(image: Any) -> Described:  # noqa: ANN401 - whatever the JSON held
    if not isinstance(image, dict):
        raise ValueError("is not an object")
    name, split = (_text(image, key) for key in ("filename", "split"))
    folder = image.get("filepath")  # of the COCO files, relative to the images
    if isinstance(folder, str) and not Path(folder).is_absolute():
        name = (Path(folder) / name).as_posix()
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError(f"filename {name!r} leads out of the folder of images")
    if name != name.strip() or len(name.splitlines()) != 1:
        raise ValueError(f"filename {name!r} cannot stand on a line of its own")
    sentences = image.get("sentences")
    if not isinstance(sentences, list):
        raise ValueError("has no list `sentences`")
    captions = []
    for sentence in sentences:
        if not isinstance(sentence, dict):
            raise ValueError("has a sentence that is not an object")
        raw = sentence.get("raw")
        if not isinstance(raw, str):
            raise ValueError("has a sentence without `raw`")
        captions.append(" ".join(raw.split()))
    # what the layout calls COCO's validation images beyond its own validation and test parts
    return Described(name, "train" if split == "restval" else split, tuple(captions))


def _text(image: dict[str, Any], key: str) -> str:
    value = image.get(key)
    if not isinstance(value, str) or not value:
        raise ValueError(f"has no `{key}`")
    return value
