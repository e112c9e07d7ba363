#!/usr/bin/env python
"""Localisation in a mosaic of real images whose places are known.

Draws 64 images of the test part, which the model has not seen, as a scene of 8 x 8 squares, asks
for each class (the name of the file before "_") that has at most four of them by the first caption
of the first, and compares the map with the squares of the class. Chance: the same maps against the
squares of all other classes.

  python benchmarks/mosaic.py --data_path data/rsicd_precomp --out mosaic --checkpoint \\
    checkpoint/rsicd_cpu_30min/0/best.pth

A scene that lies at --out already is used as it is, and so are the windows of a run that was
stopped. Figures are of the map's cells.
"""

from __future__ import annotations

import hashlib
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from galr.common import cli
from galr.common.atomic import atomic_path, write_json
from galr.data.annotations import Annotations, read_annotations
from galr.images.decoding import decode_image
from galr.localise.encode import forget_windows
from galr.localise.localisation import localise
from galr.localise.settings import WindowSettings
from galr.metrics.localisation import pixel_measures, region_mask
from galr.scenes.scene import Scene
from galr.trained_model import load

SIDE, CELL, MOST = 8, 750, 4
NAME = "mosaic.png"


def main(argv: Sequence[str] | None = None) -> None:
    """Parses ``argv``, draws, measures and prints a row a class."""
    parser = cli.ArgumentParser(__doc__, prog="python benchmarks/mosaic.py")
    add = parser.add_argument
    add("--data_path", required=True, metavar="DIR", help="RSICD, or another with such names")
    add("--checkpoint", required=True, metavar="FILE")
    add("--out", required=True, metavar="DIR", help="folder of the scene, anno.json, results.json")
    add("--seed", type=int, default=0, help="which images, and where")
    arguments = parser.parse_args(argv)
    data, out = Path(arguments.data_path), Path(arguments.out)
    entries = draw(read_annotations(data, "test", data / "images"), data, out, arguments.seed)
    write_json(out / "anno.json", entries)
    digest = hashlib.sha256(Path(arguments.checkpoint).read_bytes()).hexdigest()
    encoder = load(arguments.checkpoint)
    with Scene(out / NAME) as scene:
        queries = [entry["caption"] for entry in entries]
        maps = localise(scene, queries, encoder, digest, out, WindowSettings())
    squares = [np.array(entry["points"]) / maps[0].cell for entry in entries]
    masks = [region_mask(maps[0].probability.shape, list(square)) for square in squares]
    own, others = [], []
    for number, (entry, found) in enumerate(zip(entries, maps, strict=True)):
        known = np.nan_to_num(found.probability).astype(np.float64)
        peak = np.unravel_index(known.argmax(), known.shape)
        figures = [(bool(mask[peak]), *pixel_measures(known, mask)) for mask in masks]
        hit, iou, ap = figures.pop(number)
        own.append((hit, iou, ap))
        others += figures
        print(f"{'found' if hit else '':6} IoU {iou:.2f}  AP {ap:.2f}  {entry['caption']}")
    for name, rows in (("mean", own), ("chance", others)):
        hit, iou, ap = np.mean(rows, axis=0)
        print(f"{name:7} highest within its squares {hit:.1%}, IoU {iou:.3f}, AP {ap:.3f}")
    write_json(out / "results.json", {"own": own, "chance": np.mean(others, axis=0).tolist()})
    forget_windows(out)


def draw(annotations: Annotations, data: Path, out: Path, seed: int) -> list[dict[str, Any]]:
    """Makes the scene, and returns its annotations in the published layout."""
    captions: dict[str, list[str]] = defaultdict(list)
    for caption, image in zip(annotations.captions, annotations.caption_to_image, strict=True):
        captions[annotations.images[image]].append(caption)
    images = sorted(captions)
    order = np.random.default_rng(seed).permutation(len(images))[: SIDE**2]
    chosen = [images[number] for number in order]
    scene = Image.new("RGB", (SIDE * CELL, SIDE * CELL))
    classes: dict[str, list[tuple[str, int, int]]] = defaultdict(list)
    for place, name in enumerate(chosen):
        left, top = place % SIDE * CELL, place // SIDE * CELL
        classes[name.rsplit("_", 1)[0]].append((name, left, top))
        if not (out / NAME).is_file():
            picture = decode_image(data / "images" / name)
            scene.paste(picture.resize((CELL, CELL), Image.Resampling.BICUBIC), (left, top))
    if not (out / NAME).is_file():
        with atomic_path(out / NAME) as temporary:
            scene.save(temporary, format="PNG")
    return [
        {
            "jpg_name": NAME,
            "caption": captions[squares[0][0]][0],
            "points": [
                [[x, y], [x + CELL, y], [x + CELL, y + CELL], [x, y + CELL]] for _, x, y in squares
            ],
        }
        for _, squares in sorted(classes.items())
        if len(squares) <= MOST
    ]


if __name__ == "__main__":
    sys.exit(cli.run(main))
