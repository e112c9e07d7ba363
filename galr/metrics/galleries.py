"""Recall in galleries of another size: of fewer images the right one is found more easily."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from galr.metrics.retrieval import retrieval_metrics
from galr.metrics.similarities import Array, as_tensor

DRAWS, SEED = 10, 0
KEY = "mR_test_gallery"  # of a row of log.csv: the validation's mR among as many images as the test


def gallery_recall(similarity: Array, caption_to_image: Array, images: int) -> float | None:
    """mR among ``images`` of the I images and their captions: the mean of 10 seeded draws.

    similarity (I, C), caption_to_image (C,). None for more images than there are; that of all
    where it is as many.
    """
    total = len(similarity)
    if images > total:
        return None
    owner, scores = as_tensor(caption_to_image).cpu(), as_tensor(similarity)
    random = np.random.default_rng(SEED)
    found = []
    for _ in range(DRAWS if images < total else 1):
        chosen = torch.from_numpy(np.sort(random.permutation(total)[:images]))
        place = torch.full((total,), -1)
        place[chosen] = torch.arange(images)
        captions = (place[owner] >= 0).nonzero()[:, 0]
        part = scores[chosen.to(scores.device)][:, captions.to(scores.device)]
        found.append(retrieval_metrics(part, place[owner[captions]])["mR"])
    return float(np.mean(found))


def validation_facts(row: Mapping[str, float], images: int, of_test: int) -> dict[str, Any]:
    """What a validation (a row of log.csv) on ``images`` images says beside a test on ``of_test``.

    Empty for a row without a validation. ``validation_gallery`` says it in words.
    """
    if "mR" not in row:
        return {}
    among = row.get(KEY)
    said = f"{images} images, {of_test} in the test part"
    if images < of_test:
        said += ": fewer, so this mR is higher than it would be among as many"
    elif among is not None:
        said += f": mR {among:.2f} among as many, the mean of {DRAWS} seeded draws"
    return {
        "validation_mR": row["mR"],
        f"validation_{KEY}": among,
        "validation_gallery": said,
    }
