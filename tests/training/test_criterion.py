import math

import pytest
import torch

from galr.options import OptimOptions
from galr.training.loss import Criterion, infonce_loss, triplet_loss


@pytest.fixture
def embeddings():
    generator = torch.Generator().manual_seed(3)
    images, captions = torch.randn(2, 5, 8, generator=generator).unbind(0)
    return images / images.norm(dim=1, keepdim=True), captions / captions.norm(dim=1, keepdim=True)


IMAGES = torch.tensor([4, 1, 4, 2, 3])
TEXTS = torch.tensor([10, 11, 12, 11, 13])


def loss(embeddings, **options):
    images, captions = embeddings
    return Criterion(OptimOptions(**options))(images @ captions.T, IMAGES, TEXTS).item()


def mask(*pairs):
    marked = torch.eye(5, dtype=torch.bool)
    for i, j in pairs:
        marked[i, j] = marked[j, i] = True
    return marked


def test_the_default_is_the_papers(embeddings):
    similarity = embeddings[0] @ embeddings[1].T
    assert loss(embeddings) == pytest.approx(triplet_loss(similarity, 0.2).item())
    hard = triplet_loss(similarity, 0.3, True).item()
    assert loss(embeddings, loss="hard_triplet", margin=0.3) == pytest.approx(hard)
    assert loss(embeddings, max_violation=True, margin=0.3) == pytest.approx(hard)


@pytest.mark.parametrize(
    ("options", "pairs"),
    [
        ({"same_image": "ignore"}, [(0, 2)]),
        ({"same_caption": "ignore"}, [(1, 3)]),
        ({"same_image": "ignore", "same_caption": "ignore"}, [(0, 2), (1, 3)]),
    ],
)
def test_what_is_alike_is_no_negative(embeddings, options, pairs):
    similarity = embeddings[0] @ embeddings[1].T
    expected = triplet_loss(similarity, 0.2, ignore=mask(*pairs)).item()
    assert loss(embeddings, **options) == pytest.approx(expected)


def test_what_is_alike_may_be_a_true_pair(embeddings):
    similarity = embeddings[0] @ embeddings[1].T
    expected = infonce_loss(similarity, 20.0, mask(*[(1, 3)]), mask((0, 2))).item()
    options = {"same_image": "positive", "same_caption": "ignore", "temperature": 0.05}
    assert loss(embeddings, loss="infonce", **options) == pytest.approx(expected, rel=1e-5)


def test_positives_take_a_loss_that_knows_them():
    with pytest.raises(ValueError, match="takes loss infonce"):
        OptimOptions(same_image="positive")


@pytest.mark.parametrize(("start", "pull", "limit"), [(0.011, 1.0, 100.0), (0.95, -1.0, 1.0)])
def test_the_temperature_stops_at_its_limit_and_finds_back_at_once(start, pull, limit):
    criterion = Criterion(OptimOptions(loss="infonce", temperature=start))
    for expected in (limit, limit * math.exp(-pull)):
        with torch.no_grad():
            criterion.log_scale += pull
        criterion.clamp()
        assert criterion.scale.item() == pytest.approx(expected)
        pull = -pull


@pytest.mark.parametrize("temperature", [0.001, 2.0])
def test_a_temperature_beyond_the_limits_is_refused(temperature):
    with pytest.raises(ValueError, match="temperature"):
        OptimOptions(loss="infonce", temperature=temperature)
