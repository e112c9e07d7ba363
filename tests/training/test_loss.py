import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from galr.training.loss import infonce_loss, soft_triplet_loss, triplet_loss


def loop(similarity, margin, max_violation, ignore):
    """The definition, pair by pair."""
    total = 0.0
    size = len(similarity)
    for query in range(size):
        for rows in (similarity, similarity.T):
            skip = ignore if rows is similarity else ignore.T
            costs = [
                max(0.0, margin + rows[query, other] - rows[query, query])
                for other in range(size)
                if other != query and not skip[query, other]
            ]
            total += max(costs, default=0.0) if max_violation else sum(costs)
    return total


@given(st.integers(1, 6), st.booleans(), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_equals_the_loop_over_pairs(size, max_violation, margin, seed):
    rng = np.random.default_rng(seed)
    similarity, ignore = rng.uniform(-1, 1, (size, size)), rng.random((size, size)) < 0.3
    found = triplet_loss(
        torch.from_numpy(similarity), margin, max_violation, torch.from_numpy(ignore)
    )
    assert found.item() == pytest.approx(loop(similarity, margin, max_violation, ignore), rel=1e-12)


def test_equals_the_reference(parity_root):
    golden = np.load(parity_root / "golden_rerank.npz")
    similarity = torch.from_numpy(golden["loss_input"])
    assert triplet_loss(similarity, 0.2, False).item() == pytest.approx(
        float(golden["loss_sum"]), rel=1e-6
    )
    assert triplet_loss(similarity, 0.2, True).item() == pytest.approx(
        float(golden["loss_max"]), rel=1e-6
    )


def test_is_zero_where_every_margin_holds():
    assert triplet_loss(torch.eye(4), margin=0.2).item() == 0
    assert triplet_loss(torch.ones(1, 1)).item() == 0


def test_an_ignored_pair_gets_no_gradient():
    similarity = torch.zeros(2, 2, requires_grad=True)
    triplet_loss(similarity, ignore=torch.tensor([[False, True], [False, False]])).backward()
    assert similarity.grad[0, 1] == 0
    assert similarity.grad[1, 0] == 2


@pytest.mark.parametrize("shape", [(2, 3), (4,), (1, 2, 2)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="similarity must be"):
        triplet_loss(torch.zeros(shape))
    with pytest.raises(ValueError, match="a mask must be"):
        triplet_loss(torch.zeros(2, 2), ignore=torch.zeros(shape, dtype=torch.bool))


def probabilities(rows, scale, left_out):
    weights = np.exp(scale * rows)
    weights[left_out] = 0
    return weights / weights.sum()


@given(st.integers(1, 6), st.floats(1, 20), st.integers(0, 2**32 - 1))
def test_infonce_is_the_cross_entropy_of_each_query(size, scale, seed):
    rng = np.random.default_rng(seed)
    similarity = rng.uniform(-1, 1, (size, size))
    ignore, positive = (rng.random((size, size)) < 0.3 for _ in range(2))
    expected = 0.0
    for rows, skip, more in ((similarity, ignore, positive), (similarity.T, ignore.T, positive.T)):
        for query in range(size):
            true = more[query].copy()
            true[query] = True
            found = probabilities(rows[query], scale, skip[query] & ~true)
            expected -= np.log(found[true]).mean() / 2
    found = infonce_loss(
        torch.from_numpy(similarity), scale, torch.from_numpy(ignore), torch.from_numpy(positive)
    )
    assert found.item() == pytest.approx(expected, rel=1e-9)


def test_a_true_pair_that_is_also_to_be_ignored_counts():
    similarity = torch.randn(3, 3, generator=torch.Generator().manual_seed(0))
    everything = torch.ones(3, 3, dtype=torch.bool)
    assert torch.isfinite(infonce_loss(similarity, 5.0, ignore=everything))
    assert infonce_loss(similarity, 5.0, ignore=everything).item() == pytest.approx(0)


@given(st.integers(2, 6), st.booleans(), st.integers(0, 2**32 - 1))
def test_a_sharp_soft_margin_is_the_triplet_loss_without_margin(size, hardest, seed):
    similarity = torch.from_numpy(np.random.default_rng(seed).uniform(-1, 1, (size, size)))
    soft = soft_triplet_loss(similarity, 1e4, hardest)
    assert soft.item() == pytest.approx(triplet_loss(similarity, 0.0, hardest).item(), abs=1e-2)
    assert soft_triplet_loss(similarity) == soft_triplet_loss(similarity, 10.0)
    # and a blunt one still tells a right order from a wrong one
    assert soft_triplet_loss(similarity, 5.0, hardest) > soft
