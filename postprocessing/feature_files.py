"""Embeddings on disk, as test.py --save-features writes them, or any other model."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from galr.common.errors import UserError
from postprocessing.similarity_files import read_array, read_images


class Features(NamedTuple):
    """images (I, D) and captions (C, D) of one model."""

    images: NDArray[np.floating]
    captions: NDArray[np.floating]


def read_features(folder: str | Path) -> Features:
    """images.npy and captions.npy of a folder; raises UserError on files that do not fit."""
    folder = Path(folder)
    images, captions = (_read_embeddings(folder / name) for name in ("images.npy", "captions.npy"))
    check_width(folder, images, captions)
    return Features(images, captions)


def check_width(place: Path, *parts: NDArray[np.floating]) -> None:
    """Raises UserError where embeddings have different lengths."""
    widths = {part.shape[1] for part in parts}
    if len(widths) > 1:
        raise UserError(
            place, f"embeddings of {sorted(widths)} numbers", "write those of a single model"
        )


def read_own_images(
    folder: str | Path, features: Features, path: str | Path | None = None
) -> NDArray[np.int64]:
    """caption_to_image.npy of a folder, or ``path`` (C,); raises UserError on files that misfit."""
    path = Path(path or Path(folder) / "caption_to_image.npy")
    return read_images(path, len(features.images), len(features.captions))


def read_captions(path: str | Path, count: int) -> list[str]:
    """A caption a line, ``count`` in all; raises UserError otherwise."""
    try:
        captions = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(path, f"cannot be read ({error})", "name a text file in UTF-8") from error
    if len(captions) != count:
        raise UserError(path, f"has {len(captions)} lines", f"write {count}, a caption each")
    return captions


def _read_embeddings(path: Path) -> NDArray[np.floating]:
    found = read_array(path)
    if found.ndim != 2 or found.size == 0 or found.dtype.kind != "f":
        raise UserError(
            path,
            f"holds {found.dtype} of shape {found.shape}, not embeddings (N, D)",
            "write floating-point numbers by numpy.save",
        )
    wrong = np.argwhere(~np.isfinite(found))
    if len(wrong):
        raise UserError(path, f"row {wrong[0][0]} holds NaN or infinity", "write finite embeddings")
    return found.astype(np.float32 if found.dtype.itemsize <= 4 else np.float64, copy=False)
