"""The demo data as a folder in the precomputed format, made whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from galr.common.atomic import temporary_name, write_json, write_text
from galr.common.errors import RunError, UserError
from galr.demo.detections import detection_lines
from galr.demo.scenes import SCENES, SMALL_OBJECTS, Scene, draw_scene

STAMP = "demo.json"
VERSION = 2  # of the drawings and captions; another number has existing folders made anew


@dataclass(frozen=True)
class DemoOptions:
    """What decides every byte of the demo data."""

    seed: int = 0
    train: int = 480
    test: int = 160
    small_objects: bool = False


def make_demo(folder: str | Path, options: DemoOptions) -> bool:
    """Makes the demo data at ``folder``; False where the very same lies there already.

    Demo data of other options is replaced, with all that was built from it inside the folder;
    a folder that holds anything else raises UserError.
    """
    folder = Path(folder)
    stamp = {"version": VERSION, **asdict(options)}
    found = _read_stamp(folder)
    if found == stamp and _complete(folder, options):
        return False
    if found is None and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(folder, "exists and is not demo data", "choose another --out, or remove it")
    with _replacing(folder) as temporary:
        kinds: Counter[str] = Counter()
        for split, images in (("train", options.train), ("test", options.test)):
            _write_split(temporary, split, images, options, kinds)
        write_json(temporary / STAMP, stamp)
    return True


def _write_split(
    folder: Path, split: str, images: int, options: DemoOptions, kinds: Counter[str]
) -> None:
    """Writes a part; ``kinds`` counts the images of each scene over all parts, for their names."""
    for name in ("images", "detections"):
        (folder / name).mkdir(exist_ok=True)
    captions: list[str] = []
    names: list[str] = []
    scenes = SMALL_OBJECTS if options.small_objects else SCENES
    for index in range(images):
        rng = np.random.default_rng([options.seed, split == "test", index])
        scene = draw_scene(scenes[index % len(scenes)], rng)
        kinds[scene.kind] += 1
        name = f"{scene.kind}_{kinds[scene.kind]}"
        _write_scene(folder, name, scene, rng)
        captions += scene.captions
        names += [f"{name}.jpg"] * len(scene.captions)
    write_text(folder / f"{split}_caps.txt", "".join(f"{line}\n" for line in captions))
    write_text(folder / f"{split}_filename.txt", "".join(f"{line}\n" for line in names))


def _write_scene(folder: Path, name: str, scene: Scene, rng: np.random.Generator) -> None:
    scene.picture.save(folder / "images" / f"{name}.jpg", quality=92)
    lines = detection_lines(scene.boxes, scene.picture.width, rng)
    text = "".join(f"{line}\n" for line in lines)
    (folder / "detections" / f"{name}.txt").write_text(text, encoding="utf-8")


def _read_stamp(folder: Path) -> dict[str, int] | None:
    """What the folder's demo data was made with; None where there is none."""
    try:
        stamp = json.loads((folder / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return stamp if isinstance(stamp, dict) and "version" in stamp else None


def _complete(folder: Path, options: DemoOptions) -> bool:
    """Whether nobody has taken files away."""
    texts = [
        folder / f"{split}_{part}.txt"
        for split in ("train", "test")
        for part in ("caps", "filename")
    ]
    images = options.train + options.test
    return all(text.is_file() for text in texts) and all(
        (folder / name).is_dir() and len(os.listdir(folder / name)) == images
        for name in ("images", "detections")
    )


@contextlib.contextmanager
def _replacing(folder: Path) -> Iterator[Path]:
    """A temporary folder beside ``folder`` that takes its place when the block ends well."""
    place = folder.absolute()  # "." has no name
    temporary, old = temporary_name(place), temporary_name(place.with_name(f"{place.name}.old"))
    try:
        # a container gives out the same number again, perhaps after a run that was killed
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        if place.exists():
            os.replace(place, old)
        os.replace(temporary, place)
    except OSError as error:
        raise RunError(
            folder,
            f"cannot be written ({error.strerror or error})",
            "check that its parent folder is writable and has free space",
        ) from error
    finally:
        for leftover in (temporary, old):
            shutil.rmtree(leftover, ignore_errors=True)
