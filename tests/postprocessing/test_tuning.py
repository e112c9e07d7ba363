import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from postprocessing.banks import Bank
from postprocessing.methods import METHODS, MethodSettings
from postprocessing.task import Banks, RetrievalTask
from postprocessing.tuning import GRIDS, tune


def task(with_bank=True):
    r = np.random.default_rng(0)
    image = r.standard_normal((12, 6))
    caption = np.repeat(image, 3, axis=0) + 1.2 * r.standard_normal((36, 6))
    others, texts = r.standard_normal((9, 6)), r.standard_normal((14, 6))
    parts = [torch.from_numpy(part) for part in (image, caption, others, texts)]
    images, captions, others, texts = (part / part.norm(dim=1, keepdim=True) for part in parts)
    banks = Banks(
        Bank(others @ captions.T, texts @ captions.T), Bank(texts @ images.T, others @ images.T)
    )
    own = np.arange(36) // 3
    return RetrievalTask.of(images @ captions.T, own, *([banks] if with_bank else []))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("with_bank", [True, False])
def test_the_first_of_the_best_settings_is_chosen(method, with_bank):
    if method == "dual_bank" and not with_bank:
        return
    own, base = task(with_bank), MethodSettings(method)
    tried = [
        replace(base, **dict(zip(GRIDS[method], values, strict=True)))
        for values in itertools.product(*GRIDS[method].values())
    ]
    recalls = [own.metrics(each)["mR"] for each in tried]
    found = tune(base, own)
    assert found.tried == len(tried)
    assert found.mean_recall == max(recalls)
    assert found.settings == tried[recalls.index(max(recalls))]
    assert set(GRIDS[method]) <= set(METHODS[method].parameters)
