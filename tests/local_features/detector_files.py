"""The same detections in the formats of detectors, and the command that reads them."""

import json

import numpy as np
import pytest

from galr.common.errors import UserError
from galr.detectors.command import main
from galr.local_features.store import read_store
from galr.options.sections.drea import DOTA_CLASSES

SIZES = {"a.png": (120, 80), "b b.jpg": (50, 200), "c.tif": (64, 64), "none.png": (10, 10)}


def drawn(seed=0, classes=DOTA_CLASSES):
    """(image, class name, score, x1, y1, x2, y2) in whole pixels, all scores different."""
    rng = np.random.default_rng(seed)
    scores = rng.permutation(np.arange(100, 999))[:45] / 1000
    rows = []
    for number, name in enumerate(["a.png", "b b.jpg", "c.tif"]):
        width, height = SIZES[name]
        for score in scores[number::3]:
            x, y = rng.integers(0, width - 5), rng.integers(0, height - 5)
            w, h = rng.integers(1, width - x + 1), rng.integers(1, height - y + 1)
            kind = classes[rng.integers(min(len(classes), 3))]
            rows.append((name, kind, score, int(x), int(y), int(x + w), int(y + h)))
    return rows


def polygon(x1, y1, x2, y2):
    """A diamond whose bounds are the box."""
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    return f"{x} {y1} {x2} {y} {x} {y2} {x1} {y}"


def write_lines(path, lines):
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as file:
        file.writelines(f"{line}\n" for line in lines)


def write_paddledet(folder, rows, *, oriented=False):
    for name, kind, score, *box in rows:
        x1, y1, x2, y2 = box
        coordinates = polygon(*box) if oriented else f"{x1} {y1} {x2 - x1} {y2 - y1}"
        path = folder / f"{name.rpartition('.')[0]}.txt"
        write_lines(path, [f"{kind.replace('-', ' ')} {score} {coordinates}"])


def write_yolo(folder, rows, *, oriented=False, classes=DOTA_CLASSES):
    for name, kind, score, *box in rows:
        w, h = SIZES[name]
        x1, x2, y1, y2 = box[0] / w, box[2] / w, box[1] / h, box[3] / h
        shares = f"{(x1 + x2) / 2} {(y1 + y2) / 2} {x2 - x1} {y2 - y1}"
        if oriented:
            shares = polygon(x1, y1, x2, y2)
        path = folder / f"{name.rpartition('.')[0]}.txt"
        write_lines(path, [f"{classes.index(kind)} {shares} {score}"])


def write_dota(folder, rows, *, task):
    for name, kind, score, *box in rows:
        coordinates = polygon(*box) if task == 1 else " ".join(map(str, box))
        image = name.rpartition(".")[0]
        write_lines(folder / f"Task{task}_{kind}.txt", [f"{image} {score} {coordinates}"])


def write_coco(folder, rows, *, categories=True, first=7, classes=DOTA_CLASSES):
    listed = {
        "images": [
            {"id": 10 + number, "file_name": name, "width": width, "height": height}
            for number, (name, (width, height)) in enumerate(SIZES.items())
        ],
        "categories": [{"id": first + number, "name": kind} for number, kind in enumerate(classes)],
    }
    ids = {entry["file_name"]: entry["id"] for entry in listed["images"]}
    results = [
        {
            "image_id": ids[name],
            "category_id": first + classes.index(kind),
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "score": score,
        }
        for name, kind, score, x1, y1, x2, y2 in rows
    ]
    (folder / "results.json").write_text(json.dumps(results))
    (folder / "images.json").write_text(json.dumps(listed if categories else listed["images"]))


def build(kind, detections, images, *flags):
    out = images.parent / "out.h5"
    paths = ["--images", str(images), "--out", str(out)]
    given = [str(path) for path in (detections if isinstance(detections, list) else [detections])]
    main(["build", "--format", kind, "--detections", *given, *paths, *flags])
    return read_store(out)


def error_of(*arguments):
    with pytest.raises(UserError) as caught:
        build(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)
