"""Similarities on disk, as test.py --save-similarity writes them."""

import numpy as np
import pytest


def write_part(folder, fold, name, images, seed):
    r = np.random.default_rng(seed)
    image = r.standard_normal((images, 8))
    caption = np.repeat(image, 5, axis=0) + 1.5 * r.standard_normal((images * 5, 8))
    # not in order, so that no one can take captions for granted
    order = r.permutation(images * 5)
    caption_to_image = (np.arange(images * 5) // 5)[order]
    np.save(folder / f"{fold}_{name}_similarity.npy", (image @ caption[order].T).astype("f4"))
    np.save(folder / f"{fold}_{name}_caption_to_image.npy", caption_to_image)


@pytest.fixture
def saved(tmp_path):
    """A folder of two folds' similarities."""
    for fold in (0, 1):
        write_part(tmp_path, fold, "test", 20, 10 + fold)
        write_part(tmp_path, fold, "validation", 15, 20 + fold)
    return tmp_path
