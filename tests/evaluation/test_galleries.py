import numpy as np
import pytest
import torch

from galr.metrics.galleries import gallery_recall
from galr.metrics.retrieval import retrieval_metrics


def test_equal_similarities_leave_the_rank_of_the_gallery():
    owner = np.repeat(np.arange(20), 2)
    # t2i rank 5 of 5; i2t rank 9 of 10 captions, of which one's own 2 count as one
    assert gallery_recall(torch.zeros(20, 40), owner, 5) == pytest.approx(100 * 3 / 6)
    assert retrieval_metrics(torch.zeros(20, 40), owner)["mR"] == 0


def test_all_images_are_the_plain_number_and_more_are_none():
    random = np.random.default_rng(0)
    similarity, owner = torch.from_numpy(random.random((12, 30))), random.permutation(30) % 12
    plain = retrieval_metrics(similarity, owner)["mR"]
    assert gallery_recall(similarity, owner, 12) == plain
    assert gallery_recall(similarity, owner, 13) is None
    assert gallery_recall(similarity, owner, 6) > plain


def test_it_is_near_the_expectation_over_all_galleries():
    # t2i of one caption an image: R@k is a hypergeometric probability of the rank in the whole
    from scipy.stats import hypergeom

    random = np.random.default_rng(1)
    images, some = 300, 100
    similarity = torch.from_numpy(random.random((images, images))) + 0.7 * torch.eye(images)
    similarity = torch.maximum(similarity, similarity.T)  # both directions alike
    rank = 1 + (similarity > similarity.diagonal()[:, None]).sum(1).numpy()
    expected = [
        hypergeom.cdf(k - 1, images - 1, rank - 1, some - 1).mean() * 100 for k in (1, 5, 10)
    ]
    found = gallery_recall(similarity, np.arange(images), some)
    assert found == pytest.approx(np.mean(expected), abs=1.5)
