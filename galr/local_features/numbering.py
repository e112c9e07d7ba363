"""The meaning of a detector's class numbers, as stated by the user."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from galr.common.errors import UserError
from galr.common.yaml_file import read_yaml
from galr.options.sections.drea import DOTA_CLASSES

Numbering = Mapping[int, str]

_DOTA_LATER = ("container-crane", "airport", "helipad")  # the first in v1.5, the others in v2.0
# the data files of ultralytics order DOTA's classes as its web site does
_ULTRALYTICS_DOTA = (
    "plane", "ship", "storage-tank", "baseball-diamond", "tennis-court", "basketball-court",
    "ground-track-field", "harbor", "bridge", "large-vehicle", "small-vehicle", "helicopter",
    "roundabout", "soccer-ball-field", "swimming-pool",
)  # fmt: skip


def _coco91() -> dict[int, str]:
    """The category ids of COCO, 1 to 90, ten of them unused."""
    from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights

    names = FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
    unused = ("__background__", "N/A")
    return {number: name for number, name in enumerate(names) if name not in unused}


KNOWN: dict[str, Callable[[], Numbering]] = {
    "dota": lambda: _from_0(DOTA_CLASSES),
    "dota-v1.5": lambda: _from_0((*DOTA_CLASSES, *_DOTA_LATER[:1])),
    "dota-v2.0": lambda: _from_0((*DOTA_CLASSES, *_DOTA_LATER)),
    "ultralytics-dota": lambda: _from_0(_ULTRALYTICS_DOTA),
    "ultralytics-dota-v1.5": lambda: _from_0((*_ULTRALYTICS_DOTA, *_DOTA_LATER[:1])),
    "ultralytics-dota-v2.0": lambda: _from_0((*_ULTRALYTICS_DOTA, *_DOTA_LATER)),
    "coco80": lambda: _from_0([*_coco91().values()]),
    "coco91": _coco91,
}
CHOICES = (
    "a file with one class per line, the first being number 0; a YAML file with names (a list, or "
    f"a mapping number: name); or a known numbering ({', '.join(KNOWN)})"
)


def read_numbering(stated: str | Path, first: int | None = None) -> dict[int, str]:
    """The name of each class number, in ascending order.

    ``stated`` is one of ``KNOWN``, a data YAML with ``names`` or a text file with a class per line.
    ``first``: number of the first class in the detections, if it differs from that in ``stated``.
    Raises UserError with file and line.
    """
    numbering = _read(stated)
    lowest = min(numbering)
    shift = 0 if first is None else first - lowest
    return {number + shift: numbering[number] for number in sorted(numbering)}


def read_classes(stated: str | Path) -> tuple[str, ...]:
    """The classes alone, in the order of their numbers, from the same sources."""
    return tuple(read_numbering(stated).values())


def _read(stated: str | Path) -> Numbering:
    if str(stated) in KNOWN:
        return KNOWN[str(stated)]()
    path = Path(stated)
    if not path.exists():
        raise UserError(stated, "is neither a file nor a known numbering", f"give {CHOICES}")
    if path.suffix.lower() in (".yaml", ".yml"):
        return _data_yaml(path)
    return _one_per_line(path)


def _from_0(names: Sequence[str]) -> dict[int, str]:
    return dict(enumerate(names))


def _data_yaml(path: Path) -> dict[int, str]:
    tree: Any = read_yaml(path)
    names = tree.get("names") if isinstance(tree, dict) else None
    if not isinstance(names, list | dict) or not names:
        raise UserError(
            path, "has no names of classes", "write names: [plane, ...] or names: {0: plane, ...}"
        )
    numbering: dict[int, str] = _from_0(names) if isinstance(names, list) else names
    for number, name in numbering.items():
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            raise UserError(path, f"names: {number!r} is not a class number", "write 0, 1, 2, ...")
        if not isinstance(name, str) or not name.strip():
            raise UserError(
                path, f"names: class {number} is {name!r}", "write its name, in quotes if need be"
            )
    return numbering


def _one_per_line(path: Path) -> dict[int, str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(path, f"cannot be read ({error})", f"give {CHOICES}") from None
    if not lines:
        raise UserError(path, "contains no classes", "write the detector's classes, one per line")
    classes: dict[str, int] = {}
    for number, name in enumerate(map(str.strip, lines), start=1):
        if not name:
            # later classes would get different numbers with and without it
            raise UserError(f"{path}:{number}", "the line is blank", "delete it or name the class")
        if name in classes:
            raise UserError(
                f"{path}:{number}",
                f"the class {name} is already on line {classes[name]}",
                "delete one of them",
            )
        classes[name] = number
    return _from_0([*classes])
