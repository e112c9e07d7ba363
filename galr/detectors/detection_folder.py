"""A folder of detections, as text files that ``build --format paddledet`` reads."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from galr.common.atomic import refused
from galr.common.errors import UserError
from galr.common.folder_lock import only_writer
from galr.detectors.image_folder import ImageFolder
from galr.local_features.names import stem

CLASSES_FILE = "classes.names"  # in the folder of the detections; not .txt, which is an image's


@dataclass
class Written:
    """What a run wrote."""

    images: int = 0
    detections: int = 0
    left_out: dict[str, int] = field(default_factory=dict)  # reason -> detections


UNFINISHED = ".unfinished"  # in a folder that does not hold all images yet


class DetectionFolder:
    """Writes a text file an image; the folder must be new or empty, or of a run that was stopped.

    Within its block nobody else writes there. ``finish`` says that the folder holds all.
    """

    def __init__(self, folder: str | Path, images: ImageFolder) -> None:
        self.folder = Path(folder)
        times = Counter(stem(name) for name in images.names)
        self._shared = {short for short, count in times.items() if count > 1}
        self.written = Written()
        self._lock = contextlib.ExitStack()

    def __enter__(self) -> DetectionFolder:
        with contextlib.ExitStack() as stack:
            stack.enter_context(only_writer(self.folder, leftovers=""))
            mark = self.folder / UNFINISHED
            if any(self.folder.iterdir()) and not mark.exists():
                raise UserError(self.folder, "is not empty", "choose a new folder with --out")
            with refused(self.folder):
                mark.touch()
            self._lock = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.close()

    def write(self, image: str, lines: Sequence[str]) -> None:
        """The detections of an image; none is an empty file."""
        name = image if stem(image) in self._shared else stem(image)
        path = self.folder / f"{name}.txt"
        with refused(self.folder):
            if path.parent != self.folder:
                path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(f"{line}\n" for line in lines))
        self.written.images += 1
        self.written.detections += len(lines)

    def write_classes(self, classes: Iterable[str]) -> Path:
        """The list of classes, for ``build --store-classes``."""
        path = self.folder / CLASSES_FILE
        with refused(self.folder):
            path.write_text("".join(f"{name}\n" for name in classes))
        return path

    def finish(self) -> Written:
        """Says that all images were written; returns what was."""
        with refused(self.folder):
            (self.folder / UNFINISHED).unlink()
        return self.written


def detection_line(name: str, score: float, corners: Sequence[float]) -> str:
    """left, top, right, bottom, or eight coordinates, in pixels -> a line."""
    if len(corners) == 4:
        left, top, right, bottom = corners
        corners = [left, top, right - left, bottom - top]
    return f"{name} {score:.6f} " + " ".join(f"{number:.3f}" for number in corners)
