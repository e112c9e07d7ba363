"""Embeddings on disk, for python -m postprocessing.compare."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from galr.common import distributed
from galr.common.atomic import atomic_path, write_text
from galr.data.annotations import Annotations
from galr.evaluation.encode import Embeddings


def save_features(folder: Path, embeddings: Embeddings, annotations: Annotations) -> None:
    """Writes images.npy (I, D), captions.npy (C, D), caption_to_image.npy (C,) and captions.txt."""
    if not distributed.is_main():
        return
    arrays = {
        "images": embeddings.images.float().cpu().numpy(),
        "captions": embeddings.captions.float().cpu().numpy(),
        "caption_to_image": annotations.caption_to_image,
    }
    for name, array in arrays.items():
        with atomic_path(folder / f"{name}.npy") as temporary, temporary.open("wb") as file:
            np.save(file, array, allow_pickle=False)
    write_text(folder / "captions.txt", "".join(f"{text}\n" for text in annotations.captions))
