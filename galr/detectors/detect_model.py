"""Detections by a model of the package ultralytics, oriented or axis-aligned."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galr.common.errors import RunError, UserError
from galr.common.progress import Progress
from galr.detectors.detection_folder import DetectionFolder, Written, detection_line
from galr.detectors.image_folder import ImageFolder, image_scaling
from galr.images.decoding import AS_IT_IS, decode_image
from galr.images.scaling import Scaling
from galr.local_features.classes import ClassNames
from galr.local_features.detections import bounds, clip, faults

Floats = NDArray[np.float64]


def detect_with_model(
    weights: str | Path,
    images: str | Path,
    out: str | Path,
    classes: Sequence[str],
    *,
    device: str = "cpu",
    batch: int = 16,
    image_size: int = 1024,
    min_score: float = 0.05,
    skip_bad: bool = False,
    scaling: Scaling = AS_IT_IS,
) -> Written:
    """Runs the model on every image of a folder and writes what it finds, named as in ``classes``.

    Raises UserError without the package, for weights that it cannot read, and for classes of the
    model that are not in ``classes``, unless ``skip_bad`` leaves their objects out.
    """
    folder = ImageFolder(images)
    model = _load(weights)
    names = _matched(model.names, classes, weights, skip_bad=skip_bad)
    with DetectionFolder(out, folder) as writer:
        writer.write_classes(classes)
        scaling = image_scaling(folder, scaling)
        with Progress("detect", total=len(folder.names), unit="images") as progress:
            for start in range(0, len(folder.names), batch):
                chosen = folder.names[start : start + batch]
                pictures = [decode_image(folder.folder / name, scaling) for name in chosen]
                results = _predict(model, pictures, device, image_size, min_score)
                for name, picture, result in zip(chosen, pictures, results, strict=True):
                    lines = list(_lines(result, picture.size, model.names, names, writer.written))
                    writer.write(name, lines)
                progress.advance(len(chosen))
        return writer.finish()


def _load(weights: str | Path) -> Any:  # noqa: ANN401 - a class of the optional package
    # ultralytics would look for a missing file on the internet, and install packages by itself
    if not Path(weights).is_file():
        raise UserError(weights, "there is no such file", "name a model file with --weights")
    os.environ.update(YOLO_OFFLINE="true", YOLO_AUTOINSTALL="false", YOLO_VERBOSE="false")
    try:
        from ultralytics import YOLO
    except ImportError as error:
        raise UserError(
            "detect --weights",
            f"needs the package ultralytics ({error})",
            "install it with pip install ultralytics",
        ) from None
    try:
        return YOLO(str(weights))
    except Exception as error:  # noqa: BLE001 - whatever the package raises on a bad file
        raise UserError(
            weights, f"ultralytics cannot read it ({error})", "give a .pt file of ultralytics"
        ) from None


def _matched(
    names: dict[int, str], classes: Sequence[str], weights: str | Path, *, skip_bad: bool
) -> dict[int, str]:
    """The model's class numbers -> names of the list, those whose own name is in it."""
    known = ClassNames(classes)
    found = {number: known.find(str(name)) for number, name in names.items()}
    strange = [str(names[number]) for number, index in found.items() if index is None]
    if strange and (not skip_bad or len(strange) == len(found)):
        raise UserError(
            weights,
            f"knows classes that are not in the list: {', '.join(strange)}",
            "give the model's classes with --classes FILE, or skip the others with --skip-bad",
        )
    return {number: classes[index] for number, index in found.items() if index is not None}


def _predict(
    model: Any,  # noqa: ANN401 - a class of the optional package
    pictures: list[Any],
    device: str,
    image_size: int,
    min_score: float,
) -> list[Any]:
    try:
        results: list[Any] = model.predict(
            pictures, device=device, imgsz=image_size, conf=min_score, verbose=False
        )
    except Exception as error:  # noqa: BLE001 - whatever the package raises
        raise RunError(
            "detect",
            f"ultralytics failed on a batch of {len(pictures)} images ({error})",
            "check --device and that torchvision matches torch, or lower --batch or --image-size",
        ) from None
    return results


def _lines(
    result: Any,  # noqa: ANN401 - a class of the optional package
    size: tuple[int, int],
    model_names: dict[int, str],
    names: dict[int, str],
    written: Written,
) -> Iterator[str]:
    oriented = getattr(result, "obb", None)
    found = result.boxes if oriented is None else oriented
    corners = _array(found.xyxy if oriented is None else found.xyxyxyxy)
    corners = np.round(corners.reshape(len(found), 4 if oriented is None else 8), 3)  # as written
    scores = _array(found.conf)
    boxes = bounds(corners)
    problems = faults(scores, boxes, clip(boxes, *size))
    for row, number in enumerate(_array(found.cls).astype(int).tolist()):
        reason = str(problems[row])
        if number not in names:
            reason = f"the class {model_names.get(number, number)} is not in the list"
        if reason:
            written.left_out[reason] = written.left_out.get(reason, 0) + 1
        else:
            yield detection_line(names[number], float(scores[row]), corners[row].tolist())


def _array(tensor: Any) -> Floats:  # noqa: ANN401 - of torch, on any device
    return np.asarray(tensor.cpu().numpy(), dtype=np.float64)
