import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from postprocessing import rerank as rerank_module
from postprocessing.rerank import rerank


def direct_loop(s, k, w_saliency, w_rank, w_reverse, xi, reverse, l):  # noqa: E741
    """The formula, one query and one candidate at a time."""
    found = []
    for q in range(len(s)):
        chosen = sorted(range(s.shape[1]), key=lambda c: (-s[q, c], c))[:k]
        own_ranks = [
            sorted(range(len(s)), key=lambda other: (-s[other, c], other)).index(q) for c in chosen
        ]
        places = np.argsort(np.argsort(own_ranks)).tolist()
        scored = []
        for rank, c in enumerate(chosen):
            total = sum(s[:, c])
            score = w_saliency * (0.0 if abs(total) < 1e-12 else s[q, c] / total)
            score += w_rank * np.exp(-xi * (rank + 1))
            if reverse == "relative":
                score += w_reverse * np.exp(-xi * (places[rank] + 1))
            elif l is None or own_ranks[rank] + 1 <= l:
                score += w_reverse * np.exp(-xi * (own_ranks[rank] + 1))
            scored.append((score, c))
        found.append(sorted(scored, key=lambda pair: -pair[0]))
    return found


def matrix(seed, queries, candidates, levels=None):
    r = np.random.default_rng(seed)
    if levels is not None:
        return r.integers(-1, levels, (queries, candidates)).astype(float)
    return r.standard_normal((queries, candidates))


@pytest.mark.parametrize("block", [1, 40, 1 << 20])
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    queries=st.integers(1, 12),
    candidates=st.integers(1, 40),
    levels=st.one_of(st.none(), st.integers(0, 4)),
    k=st.integers(1, 45),
    weights=st.tuples(*[st.sampled_from([0.0, 0.3, 1.0, 1.1])] * 3),
    xi=st.sampled_from([0.05, 0.5]),
    reverse=st.sampled_from(["relative", "absolute"]),
    l=st.one_of(st.none(), st.integers(1, 12)),
)
def test_equals_a_direct_loop(block, seed, queries, candidates, levels, k, weights, xi, reverse, l):  # noqa: E741
    similarity = matrix(seed, queries, candidates, levels)
    w_saliency, w_rank, w_reverse = weights
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rerank_module, "BLOCK_NUMBERS", block)
        found = rerank(
            similarity, k=k, w_saliency=w_saliency, w_rank=w_rank, w_reverse=w_reverse, xi=xi,
            reverse=reverse, l=l,
        )  # fmt: skip
    expected = direct_loop(similarity, k, w_saliency, w_rank, w_reverse, xi, reverse, l)
    scores = np.array([[score for score, _ in row] for row in expected])
    np.testing.assert_allclose(found.scores, scores, rtol=1e-9, atol=1e-12)
    wanted = np.array([[c for _, c in row] for row in expected])
    # the last bit of a sum may turn two candidates of practically equal score
    gaps = np.abs(np.diff(scores, axis=1, prepend=np.inf, append=-np.inf))
    clear = (gaps[:, 1:] > 1e-9) & (gaps[:, :-1] > 1e-9)
    assert (found.candidates == wanted)[clear].all()
    assert (np.sort(found.candidates, axis=1) == np.sort(wanted, axis=1)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_same_kind_and_type_come_out(dtype):
    similarity = matrix(0, 9, 50).astype(dtype)
    from_numpy = rerank(similarity, k=10)
    assert from_numpy.candidates.dtype == np.int64
    assert from_numpy.scores.dtype == dtype
    assert from_numpy.candidates.shape == from_numpy.scores.shape == (9, 10)
    from_torch = rerank(torch.from_numpy(similarity).requires_grad_(), k=10)
    assert isinstance(from_torch.candidates, torch.Tensor)
    assert from_torch.scores.dtype == torch.from_numpy(similarity).dtype
    assert (from_torch.candidates.numpy() == from_numpy.candidates).all()
    assert (from_torch.scores.numpy() == from_numpy.scores).all()


def test_layout_and_precision_do_not_matter():
    similarity = matrix(1, 20, 70)
    expected = rerank(similarity, k=7)
    read_only = similarity.copy()
    read_only.setflags(write=False)
    for other in (np.asfortranarray(similarity), similarity[::-1][::-1], read_only):
        found = rerank(other, k=7)
        assert (found.candidates == expected.candidates).all()
        assert (found.scores == expected.scores).all()
    narrow = similarity.astype(np.float32)
    assert (rerank(narrow, k=7).candidates == rerank(narrow.astype(float), k=7).candidates).all()
    assert (read_only == similarity).all()


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0])
def test_equal_similarities_keep_the_order_of_the_candidates(value):
    found = rerank(np.full((5, 40), value), k=30)
    assert (found.candidates == np.arange(30)).all()
    assert np.isfinite(found.scores).all()


def test_negative_zero_ties_with_zero():
    found = rerank(np.array([[-0.0, 0.0, -0.0, 1.0]], dtype=np.float32), k=4)
    assert found.candidates.tolist() == [[3, 0, 1, 2]]


def test_one_query_and_more_candidates_asked_for_than_there_are():
    found = rerank(np.array([[0.1, 0.9, 0.5]]), k=30)
    assert found.candidates.tolist() == [[1, 2, 0]]
    # a query alone is all that a candidate is similar to: a saliency of 1, and first in its list
    worth = np.exp(-0.05 * np.arange(1, 4))
    np.testing.assert_allclose(found.scores[0], 0.3 + 2.1 * worth)


def test_a_sum_of_zero_gives_no_saliency():
    similarity = np.array([[0.3, 0.2], [-0.1, 0.5], [-0.2, 0.1]])  # the first column cancels
    found = rerank(similarity, w_rank=0.0, w_reverse=0.0, w_saliency=1.0)
    scores = dict(zip(found.candidates[0].tolist(), found.scores[0].tolist(), strict=True))
    assert scores == {0: 0.0, 1: pytest.approx(0.25)}


def test_a_negative_sum_turns_the_sign_of_the_saliency():
    similarity = np.array([[0.2, 0.1], [-0.6, 0.3]])
    found = rerank(similarity, w_rank=0.0, w_reverse=0.0, w_saliency=1.0)
    assert found.candidates[0].tolist() == [1, 0]
    np.testing.assert_allclose(found.scores[0], [0.25, -0.5])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_without_an_order_are_refused(bad):
    similarity = np.ones((3, 4))
    similarity[2, 1] = bad
    with pytest.raises(ValueError, match="NaN or infinity"):
        rerank(similarity)


def test_numbers_whose_sum_overflows_are_welcome():
    similarity = np.full((3, 4), 3e38, dtype=np.float32)
    assert np.isfinite(rerank(similarity).scores).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "k and l must be at least 1, got k=0"),
        ({"l": 0, "reverse": "absolute"}, "l=0"),
        ({"reverse": "paper"}, "relative or absolute, got 'paper'"),
        ({"w_rank": float("nan")}, "must be finite"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        rerank(np.ones((2, 3)), **arguments)


@pytest.mark.parametrize("shape", [(3,), (0, 3), (3, 0), (1, 2, 3)])
def test_what_is_no_matrix_is_refused(shape):
    with pytest.raises(ValueError, match=r"must be \(Q, C\)"):
        rerank(np.ones(shape))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", [10, 30])
@pytest.mark.parametrize("direction", ["i2t", "t2i"])
def test_released_scores_and_order(parity_root, direction, k, dtype):
    golden = np.load(parity_root / "golden_rerank.npz")
    names = "similarity", f"{direction}_score_k{k}", f"{direction}_order_k{k}"
    similarity, scores, order = (
        golden[name] if direction == "i2t" else golden[name].T for name in names
    )
    similarity = similarity.astype(dtype)
    found = rerank(similarity, k=k)
    dense = np.zeros(scores.shape)
    np.put_along_axis(dense, found.candidates, found.scores, axis=1)
    np.testing.assert_allclose(dense, scores, rtol=1e-6, atol=1e-6)
    reverse_only = rerank(similarity, k=k, w_saliency=0, w_rank=0)
    assert (reverse_only.candidates == order[:, :k]).all()
