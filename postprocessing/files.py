"""Similarities and embeddings on disk (.npy, .csv or .pt), and the image of each caption."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from galr.common.arrays import DAMAGED_ARRAYS
from galr.common.errors import UserError
from galr.metrics.similarities import as_floats

SAVED = re.compile(r"(\d+)_(test|validation)_similarity\.npy")  # by test.py --save-similarity

Floats = NDArray[np.floating]


class Part(NamedTuple):
    """similarity (I, C) of images and captions, caption_to_image (C,) int64, and their file."""

    similarity: Floats
    caption_to_image: NDArray[np.int64]
    path: Path


class Features(NamedTuple):
    """images (I, D) and captions (C, D) of one model."""

    images: Floats
    captions: Floats


def read_part(
    path: str | Path,
    captions_per_image: int | None = None,
    caption_to_image: str | Path | None = None,
) -> Part:
    """The similarities in ``path`` and the image of each caption.

    The image of each caption is given by ``captions_per_image`` (captions in image order), by the
    file ``caption_to_image``, or by the file that test.py --save-similarity wrote next to ``path``.
    Raises UserError if a file does not fit.
    """
    path = Path(path)
    similarity = _read_matrix(path, "similarities (images, captions)")
    images, captions = similarity.shape
    if captions_per_image is not None:
        if captions != images * captions_per_image:
            raise UserError(
                path,
                f"has {captions} columns, but {images} images with {captions_per_image} captions "
                f"each need {images * captions_per_image}",
                "change --captions-per-image, or use --caption-to-image FILE",
            )
        return Part(similarity, np.arange(captions) // captions_per_image, path)
    if caption_to_image is None:
        beside = path.with_name(path.name.replace("_similarity.npy", "_caption_to_image.npy"))
        if beside == path or not beside.exists():
            raise UserError(
                path,
                "does not tell which captions belong to which image",
                "add --captions-per-image 5 or --caption-to-image FILE",
            )
        caption_to_image = beside
    return Part(similarity, read_images(Path(caption_to_image), images, captions), path)


def read_bank(path: str | Path, candidates: int) -> Floats:
    """Similarities of a bank (B, candidates); raises UserError if the file does not fit."""
    found = _read_matrix(Path(path), "similarities (bank queries, candidates)")
    if found.shape[1] != candidates:
        raise UserError(
            path,
            f"has {found.shape[1]} columns for {candidates} candidates",
            "write a matrix (bank queries, candidates)",
        )
    return found


def saved_folds(folder: str | Path, part: str) -> dict[int, Path]:
    """The files of ``part`` that test.py --save-similarity wrote to ``folder``, by fold.

    Raises UserError if there are none.
    """
    found = {}
    for path in Path(folder).glob("*_similarity.npy"):
        name = SAVED.fullmatch(path.name)
        if name and name[2] == part:
            found[int(name[1])] = path
    if not found:
        raise UserError(
            folder,
            f"has no <fold>_{part}_similarity.npy",
            "name a folder written by test.py --save-similarity DIR",
        )
    return dict(sorted(found.items()))


def read_features(folder: str | Path) -> Features:
    """images.npy and captions.npy of a folder; raises UserError if they do not fit."""
    images, captions = (
        _read_matrix(Path(folder) / name, "embeddings (N, D)")
        for name in ("images.npy", "captions.npy")
    )
    check_width(folder, images, captions)
    return Features(images, captions)


def check_width(folder: str | Path, *parts: Floats) -> None:
    """Raises UserError if embeddings have different dimensions."""
    widths = {part.shape[1] for part in parts}
    if len(widths) > 1:
        raise UserError(
            folder,
            f"has embeddings of {' and '.join(map(str, sorted(widths)))} dimensions",
            "use one model",
        )


def read_images(path: Path, images: int, captions: int) -> NDArray[np.int64]:
    """The image of each caption (captions,); raises UserError if the file does not fit."""
    found = _read_array(path, ndim=1)
    if found.shape != (captions,) or found.dtype.kind not in "iu":
        raise UserError(
            path,
            f"holds {found.dtype} of shape {found.shape}",
            f"write the image index of each of the {captions} captions as integers",
        )
    numbers: NDArray[np.int64] = found.astype(np.int64)
    if numbers.min() < 0 or numbers.max() >= images:
        raise UserError(
            path,
            f"has image indices from {numbers.min()} to {numbers.max()}",
            f"use indices from 0 to {images - 1}",
        )
    bare = np.flatnonzero(np.bincount(numbers, minlength=images) == 0)
    if len(bare):
        raise UserError(path, f"image {bare[0]} has no caption", "give each image at least one")
    return numbers


def read_lines(path: str | Path, count: int, what: str) -> list[str]:
    """The ``count`` lines of a text file; raises UserError if there are more or fewer."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(path, f"cannot be read ({error})", "name a UTF-8 text file") from error
    if len(lines) != count:
        raise UserError(path, f"has {len(lines)} lines", f"write {count}, one {what} per line")
    return lines


def _read_matrix(path: Path, what: str) -> Floats:
    found = _read_array(path, ndim=2)
    if found.ndim != 2 or found.size == 0 or found.dtype.kind not in "fiu":
        raise UserError(
            path,
            f"holds {found.dtype} of shape {found.shape}, not {what}",
            "write a matrix of numbers with numpy.save",
        )
    narrow = found.dtype.kind == "f" and found.dtype.itemsize <= 4
    numbers: Floats = found.astype(np.float32 if narrow else np.float64, copy=False)
    wrong = np.argwhere(~np.isfinite(numbers))
    if len(wrong):
        row, column = wrong[0].tolist()
        raise UserError(
            path,
            f"row {row}, column {column} is {numbers[row, column]} ({len(wrong)} in all)",
            f"write finite {what.partition(' ')[0]}",
        )
    return numbers


def _read_array(path: Path, ndim: Literal[1, 2]) -> NDArray[np.generic]:
    """The array in a NumPy, torch or CSV file; raises UserError if there is none."""
    try:
        if path.suffix in (".pt", ".pth"):
            return _read_tensor(path)
        if path.suffix == ".csv":
            return _read_csv(path, ndim)
        with path.open("rb") as file:
            found = np.load(file, allow_pickle=False)
    except OSError as error:
        raise UserError(
            path, f"cannot be read ({error.strerror or error})", "name a .npy, .csv or .pt file"
        ) from error
    except DAMAGED_ARRAYS as error:
        raise UserError(
            path, f"is not an array of numbers ({error})", "write it with numpy.save"
        ) from error
    if not isinstance(found, np.ndarray):
        found.close()
        raise UserError(path, "holds several arrays", "write a single one with numpy.save")
    return found


def _read_tensor(path: Path) -> NDArray[np.generic]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tensor = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # damaged files raise errors of any kind
        raise UserError(
            path,
            "cannot be loaded: damaged, or not a single tensor",
            "save one tensor with torch.save",
        ) from error
    if not isinstance(tensor, torch.Tensor):
        raise ValueError(f"a {type(tensor).__name__}, not a tensor")
    return (as_floats(tensor) if tensor.is_floating_point() else tensor).detach().numpy()


def _read_csv(path: Path, ndim: Literal[1, 2]) -> NDArray[np.generic]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an empty file is refused by its shape
        found = np.loadtxt(path, delimiter=",", ndmin=ndim)
        whole: NDArray[np.generic] = found.astype(np.int64)
    return whole if bool((whole == found).all()) else found
