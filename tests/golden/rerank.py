"""Writes rerank.npz: similarities, and the scores that a plain loop gives them.

python -m tests.golden.rerank
"""

from pathlib import Path

import numpy as np

from tests.postprocessing.definition import loop_rerank

PATH = Path(__file__).with_suffix(".npz")
SETTINGS = {
    "default": {},
    "k5": {"k": 5},
    "absolute": {"reverse": "absolute", "l": 4},
}


def made():
    """Similarities (12, 60) that repeat many values, and candidates and scores both ways."""
    r = np.random.default_rng(0)
    similarity = (r.integers(1, 33, (12, 60)) / 32).astype(np.float32)
    arrays = {"similarity": similarity}
    for name, settings in SETTINGS.items():
        for direction, matrix in (("i2t", similarity), ("t2i", similarity.T)):
            candidates, scores = loop_rerank(matrix, **settings)
            arrays[f"{name}_{direction}_candidates"] = candidates.astype(np.int16)
            arrays[f"{name}_{direction}_scores"] = scores.astype(np.float32)
    return arrays


if __name__ == "__main__":
    np.savez_compressed(PATH, **made())
