import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from galr.metrics.similarities import FeatureProduct
from galr.options import RerankOptions
from postprocessing import multivariate, neighbours, topk
from postprocessing.rerank import RerankSettings, rerank, rerank_features
from tests.golden import rerank as golden_rerank
from tests.postprocessing.definition import loop_rerank


def similarities(seed, queries, candidates, levels=None, dtype=np.float64):
    """Random similarities; with ``levels`` only so many values, and so many ties."""
    r = np.random.default_rng(seed)
    if levels is None:
        return r.standard_normal((queries, candidates)).astype(dtype)
    return (r.integers(0, levels, (queries, candidates)) / 8 - 0.25).astype(dtype)


def assert_same(found, expected, rtol=1e-6):
    candidates, scores = expected
    assert found.candidates.dtype == np.int64
    assert found.scores.dtype == np.float32
    np.testing.assert_array_equal(found.candidates, candidates)
    np.testing.assert_allclose(found.scores, scores, rtol=rtol, atol=rtol)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    queries=st.integers(1, 9),
    candidates=st.integers(1, 12),
    levels=st.one_of(st.none(), st.integers(1, 4)),
    dtype=st.sampled_from([np.float32, np.float64]),
    k=st.integers(1, 14),
    weights=st.sampled_from([(0.3, 1.0, 1.1), (0, 0, 1), (1, 0, 0), (0, 1, 0), (0.5, 2, 1)]),
    xi=st.sampled_from([0.05, 0.3]),
    reverse=st.sampled_from(["relative", "absolute"]),
    first=st.one_of(st.none(), st.integers(1, 6)),
    ties=st.sampled_from(["released", "stable"]),
    chunk=st.sampled_from([1, 20, 1 << 18]),
)
def test_equals_the_loop(
    seed, queries, candidates, levels, dtype, k, weights, xi, reverse, first, ties, chunk
):
    s = similarities(seed, queries, candidates, levels, dtype)
    arguments = {"k": k, "xi": xi, "reverse": reverse, "l": first, "ties": ties}
    arguments |= dict(zip(("w_saliency", "w_rank", "w_reverse"), weights, strict=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(topk, "CHUNK_NUMBERS", chunk)
        for direction in (s, s.T):
            expected = loop_rerank(direction, **arguments)
            found = rerank(direction, **arguments)
            # the loop adds the sums in another order, which may part scores that tie
            assert_same_but_ties(found, expected)


def assert_same_but_ties(found, expected, tolerance=1e-5):
    candidates, scores = expected
    np.testing.assert_allclose(found.scores, scores, rtol=tolerance, atol=tolerance)
    differs = found.candidates != candidates
    near = np.abs(np.diff(scores, axis=1)) < 1e-9
    tied = np.zeros_like(differs)
    tied[:, 1:] |= near
    tied[:, :-1] |= near
    assert not (differs & ~tied).any()


@pytest.mark.parametrize("k", [1, 7, 30, 500])
def test_larger_matrices_equal_the_loop(k):
    for dtype in (np.float32, np.float64):
        s = similarities(1, 37, 83, dtype=dtype)
        for direction in (s, s.T):
            assert_same(rerank(direction, k=k), loop_rerank(direction, k))


def test_float64_closer_than_its_keys_is_still_ordered():
    s = 0.5 + similarities(2, 23, 41) * 1e-15
    for direction in (s, s.T):
        assert_same(rerank(direction, k=9), loop_rerank(direction, 9), rtol=1e-5)


def test_the_same_kind_comes_out():
    s = similarities(3, 6, 11, dtype=np.float32)
    expected = rerank(s, k=4)
    for other in (
        torch.from_numpy(s),
        torch.from_numpy(s).requires_grad_(),
        torch.from_numpy(np.asfortranarray(s)),
    ):
        found = rerank(other, k=4)
        assert found.candidates.dtype == torch.int64
        assert found.scores.dtype == torch.float32
        assert (found.candidates.numpy() == expected.candidates).all()
        assert (found.scores.numpy() == expected.scores).all()
    read_only = np.asfortranarray(s)
    read_only.setflags(write=False)
    for layout in (read_only, s[::-1][::-1], s.astype(">f4")):
        assert_same(rerank(layout, k=4), expected, rtol=0)


def test_half_precision_and_integers_are_widened():
    s = similarities(4, 5, 9, levels=6)
    assert_same(rerank(s.astype(np.float16), k=3), rerank(s, k=3), rtol=1e-6)
    assert_same(rerank((s * 8).astype(np.int32), k=3), rerank(s * 8, k=3), rtol=1e-6)


def test_the_input_is_left_alone():
    s = similarities(5, 8, 13)
    before = s.copy()
    rerank(s, k=5)
    rerank(torch.from_numpy(s).T, k=5)
    assert (s == before).all()


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_change_nothing(threads, monkeypatch):
    s = similarities(6, 300, 200, dtype=np.float32)
    expected = rerank(s)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert_same(rerank(s), expected, rtol=0)


def test_constant_rows_come_in_the_order_of_their_indices():
    found = rerank(np.ones((4, 6)), k=5, ties="stable")
    assert found.candidates.tolist() == [[0, 1, 2, 3, 4]] * 4
    absolute = rerank(np.ones((4, 6)), k=5, reverse="absolute")
    assert absolute.candidates.tolist() == [[0, 1, 2, 3, 4]] * 4


def test_a_single_query_and_a_single_candidate():
    assert rerank(np.array([[0.1, 0.9, 0.5]]), k=2).candidates.tolist() == [[1, 2]]
    assert rerank(np.array([[0.1], [0.9]]), k=2).candidates.tolist() == [[0], [0]]


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0)])
def test_nothing_to_rank_gives_nothing(shape):
    found = rerank(np.zeros(shape), k=3)
    assert found.candidates.shape == found.scores.shape == (shape[0], 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scores_stay_finite_whatever_the_sums(dtype):
    tiny = np.finfo(dtype).tiny
    s = np.array([[1, -1, 2, tiny, 0], [-1, -1, -3, 0, 0]], dtype=dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = rerank(s, w_saliency=1, w_rank=0, w_reverse=0)
    assert np.isfinite(found.scores).all()
    by_candidate = np.zeros(5)
    by_candidate[found.candidates[0]] = found.scores[0]
    assert by_candidate.tolist() == [0, 0.5, -2, 1, 0]  # sums 0, -2, -1, tiny, 0
    huge = np.full((3, 2), np.finfo(dtype).max, dtype=dtype)
    assert np.isfinite(rerank(huge).scores).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_a_number_is_refused(value):
    s = similarities(7, 6, 11)
    s[4, 7] = value
    for wrong in (s, s.T, torch.from_numpy(s)):
        with pytest.raises(ValueError, match="NaN or infinity"):
            rerank(wrong, k=3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "k must be an integer >= 1, got 0"),
        ({"k": 2.5}, r"k must be an integer >= 1, got 2\.5"),
        ({"l": 0}, "l must be"),
        ({"w_rank": float("nan")}, "w_rank must be a finite number"),
        ({"xi": float("inf")}, "xi must be a finite number"),
        ({"reverse": "both"}, "'relative' or 'absolute', got 'both'"),
        ({"ties": "random"}, "'released' or 'stable'"),
    ],
)
def test_arguments_without_a_meaning_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        rerank(np.eye(3), **arguments)


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match=r"similarity must be \(Q, C\), got shape \(3,\)"):
        rerank(np.ones(3))
    with pytest.raises(ValueError, match=r"got \(2, 3\) and \(4, 5\)"):
        rerank_features(np.ones((2, 3)), np.ones((4, 5)))


@pytest.mark.parametrize("levels", [None, 3])
def test_sorting_as_on_a_gpu_equals_the_form_in_chunks(levels):
    s = torch.from_numpy(similarities(8, 31, 47, levels))
    ends = torch.nn.functional.pad((torch.arange(31) % 4).cumsum(0), (1, 0))
    pairs = int(ends[-1])
    column, places = torch.arange(pairs) * 5 % 47, torch.arange(pairs).flip(0)
    found = []
    forms = [(topk.fill_top_k, topk.fill_ranks), (topk._sort_top_k, topk._sort_ranks)]
    for fill_top_k, fill_ranks in forms:
        columns, values = torch.empty(31, 9, dtype=torch.int64), torch.empty(31, 9).double()
        rank, share = torch.empty(pairs, dtype=torch.int64), torch.empty(pairs).double()
        fill_top_k(s, columns, values)
        fill_ranks(s, ends, column, places, rank, share)
        found.append((columns, values, rank, share))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same():
    s = similarities(9, 211, 503, dtype=np.float32)
    for direction in (s, s.T):
        found = rerank(torch.from_numpy(direction).cuda())
        assert found.scores.is_cuda
        np.testing.assert_array_equal(found.candidates.cpu(), rerank(direction).candidates)


def features(seed, queries, candidates, width, dtype=np.float32):
    r = np.random.default_rng(seed)
    parts = [r.standard_normal((rows, width)).astype(dtype) for rows in (queries, candidates)]
    return [part / np.linalg.norm(part, axis=1, keepdims=True) for part in parts]


@pytest.mark.parametrize(
    ("queries", "candidates", "width"), [(5, 7, 3), (700, 901, 16), (900, 611, 64), (40, 9000, 33)]
)
@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_features_equal_the_dense_matrix(queries, candidates, width, kind, monkeypatch):
    monkeypatch.setattr(multivariate, "LEAST_MIB", 1)
    q, c = map(kind, features(0, queries, candidates, width))
    for a, b in ((q, c), (c, q)):
        expected = rerank(a @ b.T)
        for memory_mib in (1, 512):
            found = rerank_features(a, b, memory_mib=memory_mib)
            assert type(found.scores) is type(expected.scores)
            assert bool((found.candidates == expected.candidates).all())
            assert bool((found.scores == expected.scores).all())


def test_features_never_make_the_whole_matrix(monkeypatch):
    monkeypatch.setattr(multivariate, "LEAST_MIB", 1)
    largest = []
    product = FeatureProduct._product

    def watched(self, queries):
        block = product(self, queries)
        largest.append(block.numel())
        return block

    monkeypatch.setattr(FeatureProduct, "_product", watched)
    rerank_features(*features(1, 2000, 1500, 32), k=3, memory_mib=1)
    assert max(largest) <= (1 << 20) / 4
    assert len(largest) > 20


@pytest.mark.parametrize("name", golden_rerank.SETTINGS)
def test_golden_scores(name):
    stored = np.load(golden_rerank.PATH)
    for direction, matrix in (("i2t", stored["similarity"]), ("t2i", stored["similarity"].T)):
        found = rerank(matrix, **golden_rerank.SETTINGS[name])
        candidates, scores = (
            stored[f"{name}_{direction}_{what}"] for what in ("candidates", "scores")
        )
        np.testing.assert_allclose(found.scores, scores, rtol=0, atol=1e-6)
        # scores that are equal but for rounding may change places
        clear = np.abs(np.diff(scores, axis=1, prepend=np.inf, append=-np.inf)) > 1e-6
        clear = clear[:, 1:] & clear[:, :-1]
        np.testing.assert_array_equal(found.candidates[clear], candidates[clear])


def test_ties_are_stable_by_default():
    s = similarities(12, 40, 60, levels=2)
    stable, released = (rerank(s, k=40, ties=ties) for ties in ("stable", "released"))
    assert_same(rerank(s, k=40), stable, rtol=0)
    assert (stable.candidates != released.candidates).any()
    assert RerankSettings().ties == RerankOptions().ties == "stable"
    assert_same(rerank_features(s, np.eye(60), k=40), stable, rtol=0)


def test_released_scores(parity_root):
    golden = np.load(parity_root / "golden_rerank.npz")
    for name, direction in (("i2t", golden["similarity"]), ("t2i", golden["similarity"].T)):
        for k in (10, 30):
            expected, order = (golden[f"{name}_{what}_k{k}"] for what in ("score", "order"))
            if name == "t2i":
                expected, order = expected.T, order.T
            found = rerank(direction, k=k, w_saliency=0.3, w_reverse=1.1, ties="released")
            scores = np.zeros_like(expected)
            np.put_along_axis(scores, found.candidates, found.scores, axis=1)
            np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-6)
            width = found.candidates.shape[1]
            best = np.argsort(-expected, axis=1, kind="stable")[:, :width]
            np.testing.assert_array_equal(found.candidates, best)
            alone = rerank(direction, k=k, w_saliency=0, w_rank=0, ties="released")
            np.testing.assert_array_equal(alone.candidates, order[:, :width])


def test_integers_descend_as_floats_ascend():
    values = np.array([-np.finfo("f4").max, -1.5, -1e-30, -0.0, 0.0, 1e-30, 2, 1e30], np.float32)
    keys = topk._descending_integers(values)
    assert (np.diff(keys) < 0).tolist() == [True] * 3 + [False] + [True] * 3
    assert keys[3] == keys[4]
    assert abs(keys).max() <= 1 << 31


def test_lists_that_keep_very_different_numbers_of_entries():
    s = similarities(11, 60, 60, dtype=np.float32)
    s[:, 0] = np.arange(60)  # everyone's best candidate: its list is wanted as a whole
    for direction in (s, s.T):
        assert_same(rerank(direction, k=2), loop_rerank(direction, 2), rtol=1e-5)


def test_many_candidates_are_paired_as_few_are(monkeypatch):
    similarity = np.random.default_rng(0).random((9, 30))
    few = rerank(similarity, k=4)
    monkeypatch.setattr(neighbours, "RADIX_SORTED", 1)
    many = rerank(similarity, k=4)
    np.testing.assert_array_equal(many.candidates, few.candidates)
    np.testing.assert_array_equal(many.scores, few.scores)


def test_the_defaults_are_those_of_the_released_code():
    chosen = RerankSettings()
    weights = (chosen.w_saliency, chosen.w_rank, chosen.w_reverse)
    assert (chosen.k, *weights, chosen.xi, chosen.l) == (30, 0.3, 1.0, 1.1, 0.05, None)


def test_equal_scores_keep_the_plain_order():
    similarity = np.random.default_rng(0).random((20, 300))
    found = rerank(similarity, k=200, w_saliency=0, w_rank=0, w_reverse=0)
    plain = np.argsort(-similarity, axis=1, kind="stable")[:, :200]
    np.testing.assert_array_equal(found.candidates, plain)
    assert not found.scores.any()
