"""Similarity matrices on disk, and which image each caption belongs to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from galr.common.errors import UserError

SAVED = re.compile(r"(\d+)_(test|validation)_similarity\.npy")  # by test.py --save-similarity


class Part(NamedTuple):
    """similarity (I, C) of images and captions, caption_to_image (C,) int64, and where from."""

    similarity: NDArray[np.floating]
    caption_to_image: NDArray[np.int64]
    place: Path


def read_part(
    path: str | Path,
    captions_per_image: int | None = None,
    caption_to_image: str | Path | None = None,
) -> Part:
    """The similarities in ``path`` and their captions' images.

    Captions belong to images in order, ``captions_per_image`` to each, or as the file
    ``caption_to_image`` says; without both, as the file says that test.py --save-similarity writes
    beside the similarities. Raises UserError on files that do not fit.
    """
    path = Path(path)
    similarity = _read_similarity(path)
    images, captions = similarity.shape
    if captions_per_image is not None:
        if captions != images * captions_per_image:
            raise UserError(
                path,
                f"{images} images with {captions_per_image} captions each need "
                f"{images * captions_per_image} columns, and it has {captions}",
                "name another number, or the captions' images by --caption-to-image FILE",
            )
        return Part(similarity, np.arange(captions) // captions_per_image, path)
    if caption_to_image is None:
        beside = path.with_name(path.name.replace("_similarity.npy", "_caption_to_image.npy"))
        if beside == path or not beside.exists():
            raise UserError(
                path,
                "nothing says which captions belong to which image",
                "add --captions-per-image 5 or --caption-to-image FILE",
            )
        caption_to_image = beside
    return Part(similarity, read_images(Path(caption_to_image), images, captions), path)


def read_bank(path: str | Path, candidates: int) -> NDArray[np.floating]:
    """Similarities of a bank's queries and ``candidates``: (B, candidates).

    Raises UserError on a file that does not fit.
    """
    found = _read_similarity(Path(path))
    if found.shape[1] != candidates:
        raise UserError(
            path,
            f"has {found.shape[1]} columns, and there are {candidates} candidates",
            "write similarities (bank queries, candidates)",
        )
    return found


def saved_folds(folder: str | Path, part: str) -> dict[int, Path]:
    """The files of ``part`` that test.py --save-similarity wrote to ``folder``, by fold.

    Raises UserError where there are none.
    """
    folder = Path(folder)
    found = {}
    for path in sorted(folder.glob("*_similarity.npy")):
        name = SAVED.fullmatch(path.name)
        if name and name[2] == part:
            found[int(name[1])] = path
    if not found:
        raise UserError(
            folder,
            f"no <fold>_{part}_similarity.npy in it",
            "write them by test.py --save-similarity DIR, and name that folder",
        )
    return dict(sorted(found.items()))


def _read_similarity(path: Path) -> NDArray[np.floating]:
    similarity = read_array(path)
    if similarity.ndim != 2 or similarity.size == 0 or similarity.dtype.kind not in "fiu":
        raise UserError(
            path,
            f"it holds {similarity.dtype} of shape {similarity.shape}, not numbers (images, "
            "captions)",
            "write the similarity matrix by numpy.save",
        )
    narrow = similarity.dtype.kind == "f" and similarity.dtype.itemsize <= 4
    numbers: NDArray[np.floating] = similarity.astype(np.float32 if narrow else float, copy=False)
    wrong = np.argwhere(~np.isfinite(numbers))
    if len(wrong):
        row, column = wrong[0].tolist()
        raise UserError(
            path,
            f"image {row}, caption {column} has {numbers[row, column]} ({len(wrong)} in all)",
            "write finite similarities",
        )
    return numbers


def read_images(path: Path, images: int, captions: int) -> NDArray[np.int64]:
    """The image of each caption (captions,); raises UserError on a file that does not fit."""
    found = read_array(path)
    if found.shape != (captions,) or found.dtype.kind not in "iu":
        raise UserError(
            path,
            f"it holds {found.dtype} of shape {found.shape}",
            f"it must hold the image of each of the {captions} captions, whole numbers",
        )
    numbers: NDArray[np.int64] = found.astype(np.int64)
    if numbers.min() < 0 or numbers.max() >= images:
        raise UserError(
            path,
            f"it names images {numbers.min()} to {numbers.max()}",
            f"there are {images}, from 0 to {images - 1}",
        )
    bare = np.flatnonzero(np.bincount(numbers, minlength=images) == 0)
    if len(bare):
        raise UserError(path, f"image {bare[0]} has no caption", "give each image at least one")
    return numbers


def read_array(path: Path) -> NDArray[np.generic]:
    """The array in a .npy file; raises UserError where it cannot be read."""
    try:
        found = np.load(path, allow_pickle=False)
    except OSError as error:
        raise UserError(
            path, f"cannot be read ({error.strerror or error})", "name a .npy file"
        ) from error
    except (ValueError, EOFError) as error:
        raise UserError(
            path, f"it is no array of numbers ({error})", "write it by numpy.save"
        ) from error
    if not isinstance(found, np.ndarray):
        found.close()
        raise UserError(path, "it holds several arrays", "write a single one by numpy.save")
    return found
