"""The precomputed format: captions, images, and which caption belongs to which image.

``{split}_caps.txt`` holds one caption per line, grouped by image. ``{split}_filename.txt`` names
the image of each caption (as many lines), or each image once, with equally many captions each.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from galr.common.errors import UserError
from galr.images.folder import found_names

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Annotations:
    """The images and captions of a split.

    images: distinct file names, in the order of their first line; captions: as in the file;
    caption_to_image: (C,) int64, the index of each caption's image.
    """

    split: str
    images: tuple[str, ...]
    captions: tuple[str, ...]
    caption_to_image: NDArray[np.int64]

    @property
    def caption_group(self) -> NDArray[np.int64]:
        """(C,) int64, equal where two captions have the same text (see ``caption_groups``)."""
        return caption_groups(self.captions)

    @property
    def digest(self) -> str:
        """The SHA-256 of images, captions and their assignment."""
        text = "\0".join((*self.images, *self.captions))
        digest = hashlib.sha256(text.encode("utf-8", "surrogateescape"))
        digest.update(self.caption_to_image.tobytes())
        return digest.hexdigest()

    def select(self, indices: NDArray[np.int64]) -> Annotations:
        """The images at ``indices``, in that order, with their captions grouped by image."""
        indices = np.asarray(indices, dtype=np.int64)
        position = np.full(len(self.images), -1, dtype=np.int64)
        position[indices] = np.arange(len(indices))
        new_image = position[self.caption_to_image]
        kept = np.flatnonzero(new_image >= 0)
        kept = kept[np.argsort(new_image[kept], kind="stable")]
        return Annotations(
            self.split,
            tuple(self.images[index] for index in indices),
            tuple(self.captions[index] for index in kept),
            new_image[kept],
        )


def read_annotations(
    data_path: str | Path,
    split: str,
    image_path: str | Path | None = None,
    *,
    empty_captions: int = 0,
) -> Annotations:
    """Reads and checks the two files of ``split``, and that the images are in ``image_path``.

    ``empty_captions`` is the number of empty lines that the captions are known to hold: these are
    left out, with the images that have no other caption. Raises UserError, with file and line,
    for a missing file, counts that do not match, an empty caption or name, or a missing image.
    """
    caps_path, names_path = annotation_files(data_path, split)
    captions, names = read_lines(caps_path), read_lines(names_path)
    _check_names(names, names_path)
    if image_path is not None:
        names = image_names(names, image_path, names_path)
    images = tuple(dict.fromkeys(names))
    caption_to_image = _match(captions, names, images, caps_path, names_path)
    annotations = Annotations(split, images, tuple(captions), caption_to_image)
    return _without_empty(annotations, caps_path, empty_captions)


def image_count(data_path: str | Path, split: str) -> int | None:
    """How many images a split names; None where that cannot be read."""
    try:
        return len(set(read_lines(Path(data_path, f"{split}_filename.txt"))))
    except (UserError, OSError):
        return None


def caption_groups(captions: Sequence[str]) -> NDArray[np.int64]:
    """The number of each caption's text: (C,) int64, equal where two captions read the same.

    Training and evaluation compare captions by this alone: by the text of the file, not by the
    ids that a vocabulary gives it.
    """
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(text, len(numbers)) for text in captions], dtype=np.int64)


def annotation_files(data_path: str | Path, split: str) -> tuple[Path, Path]:
    """The paths of captions and file names; raises UserError where one is missing."""
    folder = Path(data_path)
    if not folder.is_dir():
        raise UserError(
            folder,
            "there is no such data folder",
            "make it with python -m galr.data prepare, or set dataset.data_path to another one "
            "(docs/data.md)",
        )
    paths = folder / f"{split}_caps.txt", folder / f"{split}_filename.txt"
    for path in paths:
        if not path.is_file():
            raise UserError(path, "there is no such file", "a data folder needs it (docs/data.md)")
    return paths


def read_lines(path: str | Path) -> list[str]:
    """The lines of a UTF-8 text file, stripped; raises UserError for bytes that are no UTF-8."""
    lines = Path(path).read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    decoded = []
    for number, line in enumerate(lines, start=1):
        try:
            decoded.append(line.decode("utf-8").strip())
        except UnicodeDecodeError:
            raise UserError(
                f"{path}:{number}", "is not UTF-8 text", "save the file as UTF-8"
            ) from None
    return decoded


def read_captions(path: str | Path) -> list[str]:
    """The distinct lines of a file that are not empty, in order; raises UserError for none."""
    remedy = "name a file with one caption per line, such as train_caps.txt"
    try:
        captions = [line for line in dict.fromkeys(read_lines(path)) if line]
    except FileNotFoundError:
        raise UserError(path, "there is no such caption file", remedy) from None
    except OSError as error:
        raise UserError(path, f"cannot be read ({error})", remedy) from None
    if not captions:
        raise UserError(path, "holds no captions", remedy)
    return captions


def image_names(names: Sequence[str], folder: str | Path, path: Path) -> list[str]:
    """The files in ``folder`` of the lines ``names`` of ``path`` (``found_names``)."""
    if not Path(folder).is_dir():
        raise UserError(
            folder,
            "there is no such image folder",
            "put the images there, or set dataset.image_path (docs/data.md)",
        )
    return found_names(names, folder, lambda index: f"{path}:{index + 1}")


def _check_names(names: list[str], path: Path) -> None:
    if not names:
        raise UserError(path, "is empty", "there must be one image file name per line")
    if "" in names:
        raise UserError(
            f"{path}:{names.index('') + 1}", "names no image", "write one or delete the line"
        )


def _match(
    captions: list[str], names: list[str], images: tuple[str, ...], caps_path: Path, path: Path
) -> NDArray[np.int64]:
    if len(names) == len(captions):
        number = {name: index for index, name in enumerate(images)}
        return np.array([number[name] for name in names], dtype=np.int64)
    if captions and captions[-1] == "":
        raise UserError(
            f"{caps_path}:{len(captions)}", "is a blank line after the last caption", "delete it"
        )
    counts = f"{len(captions)} captions for {len(names)} lines of {path.name}"
    if len(captions) % len(names) or not captions:
        raise UserError(
            caps_path,
            f"does not fit its images: {counts}",
            "give one name per caption, or one per image with the same number of captions each",
        )
    if len(images) < len(names):
        first = next(line for line, name in enumerate(names) if name in names[:line])
        raise UserError(
            f"{path}:{first + 1}",
            f"names {names[first]} again, with {counts}",
            "name each image once, or give one name per caption",
        )
    return np.repeat(np.arange(len(images)), len(captions) // len(names))


def _without_empty(annotations: Annotations, path: Path, expected: int) -> Annotations:
    filled = np.array([caption != "" for caption in annotations.captions])
    empty = np.flatnonzero(~filled)
    if len(empty) == 0:
        return annotations
    if len(empty) != expected:
        raise UserError(
            f"{path}:{empty[0] + 1}",
            f"is an empty caption ({len(empty)} in the file)",
            f"write it, or skip them with dataset.empty_captions = {len(empty)}",
        )
    described = np.unique(annotations.caption_to_image[filled])
    logger.info(
        "%s: %d empty captions are left out, and %d images that have no other",
        path,
        len(empty),
        len(annotations.images) - len(described),
    )
    rest = Annotations(
        annotations.split,
        annotations.images,
        tuple(caption for caption in annotations.captions if caption),
        annotations.caption_to_image[filled],
    )
    return rest.select(described)
