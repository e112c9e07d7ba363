"""Files that test.py --save-features and --save-similarity write, for postprocessing's commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from galr.common import distributed
from galr.common.atomic import atomic_path, write_text
from galr.data.part import Part
from galr.evaluation.encode import Embeddings
from galr.evaluation.trained_fold import TrainedFold


def save_features_of(fold: TrainedFold, test: Part, embeddings: Embeddings, folder: Path) -> None:
    """Writes what python -m postprocessing.compare reads: a folder per part."""
    parts = {"test": (test, embeddings)}
    for name in ("validation", "train"):
        if name in fold.images:
            part = fold.part(name)
            parts[name] = part, fold.encode(part)
    for name, (part, own) in parts.items():
        out = folder / f"{fold.index}_{name}"
        _save(out / "images.npy", own.images.float().cpu().numpy())
        _save(out / "captions.npy", own.captions.float().cpu().numpy())
        _save(out / "caption_to_image.npy", part.annotations.caption_to_image)
        if distributed.is_main():
            lines = "".join(f"{text}\n" for text in part.annotations.captions)
            write_text(out / "captions.txt", lines)


def save_similarity_of(fold: TrainedFold, test: Part, similarity: Tensor, folder: Path) -> None:
    """Writes what python -m postprocessing.rerank reads: two files per part."""
    parts = {"test": (test, similarity)}
    if "validation" in fold.images:
        part = fold.part("validation")
        parts["validation"] = part, fold.encode(part).similarity()
    for name, (part, own) in parts.items():
        _save(folder / f"{fold.index}_{name}_similarity.npy", own.numpy())
        own_image = part.annotations.caption_to_image
        _save(folder / f"{fold.index}_{name}_caption_to_image.npy", own_image)


def _save(path: Path, array: NDArray[Any]) -> None:
    if distributed.is_main():
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.save(file, array, allow_pickle=False)
