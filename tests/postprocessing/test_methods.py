from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from galr.metrics.retrieval import retrieval_ranks
from galr.metrics.similarities import FeatureProduct
from galr.options import RerankOptions
from postprocessing import corrections, methods
from postprocessing.banks import Bank
from postprocessing.corrections import CORRECTIONS
from postprocessing.methods import METHODS, MethodSettings, reads, rerank_by
from postprocessing.rerank import rerank, rerank_features
from postprocessing.task import Banks, RetrievalTask
from tests.postprocessing import method_loops

TERMS = {
    "multivariate": {},
    "saliency": {"w_saliency": 1.0, "w_rank": 0.0, "w_reverse": 0.0},
    "rank": {"w_saliency": 0.0, "w_rank": 1.0, "w_reverse": 0.0},
    "reverse": {"w_saliency": 0.0, "w_rank": 0.0, "w_reverse": 1.0},
}
NUMBERS = {"beta": 20.0, "neighbours": 10, "alpha": 0.75, "activation": 1}


def matrix(seed, rows, columns, levels):
    r = np.random.default_rng(seed)
    if levels is None:
        return r.uniform(-1, 1, (rows, columns))
    return r.integers(-2, levels, (rows, columns)) / 8


def assert_in_order(found, expected, k, tolerance):
    """The k best of expected scores (Q, C); those that tie but for rounding may change places."""
    expected = np.array(expected)
    assert found.candidates.shape == (len(expected), min(k, expected.shape[1]))
    given_scores = np.take_along_axis(expected, found.candidates, axis=1)
    best = -np.sort(-expected, axis=1)[:, :k]
    np.testing.assert_allclose(given_scores, best, rtol=0, atol=tolerance)
    np.testing.assert_allclose(found.scores, best, rtol=1e-5, atol=1e-6)
    assert all(len(set(row)) == len(row) for row in found.candidates.tolist())


@settings(max_examples=150, deadline=None)
@given(
    method=st.sampled_from([*CORRECTIONS]),
    seed=st.integers(0, 10**6),
    queries=st.integers(1, 7),
    candidates=st.integers(1, 8),
    banked=st.one_of(st.none(), st.integers(1, 6)),
    levels=st.one_of(st.none(), st.integers(1, 5)),
    beta=st.sampled_from([1.0, 20.0, 100.0]),
    neighbours=st.sampled_from([1, 2, 50]),
    alpha=st.sampled_from([0.0, 0.75, 2.0]),
    activation=st.sampled_from([1, 3]),
    k=st.sampled_from([1, 3, 30]),
    block=st.sampled_from([1, 1 << 20]),
)
def test_equals_the_loop(
    method, seed, queries, candidates, banked, levels, beta, neighbours, alpha, activation, k, block
):
    if method == "dual_bank":
        banked = banked or 1
    s = matrix(seed, queries, candidates, levels)
    numbers = {
        "beta": beta, "neighbours": neighbours, "alpha": alpha, "activation": activation
    }  # fmt: skip
    chosen = MethodSettings(method, **numbers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corrections, "MOST_NUMBERS", block)
        for direction in (s, s.T):
            count = direction.shape[1]
            bank = None if banked is None else matrix(seed + 1, banked, count, levels)
            others = None if banked is None else matrix(seed + 2, banked, count, levels)
            read = bank if METHODS[method].bank != "never" else None
            expected = method_loops.scores(method, direction, read, others, **numbers)
            given_bank = None if bank is None else Bank(bank, others)
            found = rerank_by(direction, chosen, given_bank, k=k)
            # s exp(b s) at b = 100 is large
            scale = max(1.0, float(np.abs(expected).max()))
            assert_in_order(found, expected, k, 1e-9 * scale)


@pytest.mark.parametrize("method", TERMS)
@pytest.mark.parametrize("levels", [None, 4])
def test_without_a_bank_the_terms_are_those_of_rerank_bit_for_bit(method, levels):
    s = matrix(3, 20, 35, levels).astype(np.float32)
    for direction in (s, s.T):
        for own in ({}, {"k": 7, "reverse": "absolute", "l": 3}):
            chosen = MethodSettings(method, **own)
            found, expected = (
                rerank_by(direction, chosen),
                rerank(direction, **own, **TERMS[method]),
            )
            np.testing.assert_array_equal(found.candidates, expected.candidates)
            np.testing.assert_array_equal(found.scores, expected.scores)


@settings(max_examples=40, deadline=None)
@given(
    method=st.sampled_from([*TERMS]),
    seed=st.integers(0, 10**6),
    banked=st.integers(1, 9),
    levels=st.one_of(st.none(), st.integers(1, 5)),
    k=st.sampled_from([1, 4, 30]),
    reverse=st.sampled_from(["relative", "absolute"]),
    block=st.sampled_from([1, 1 << 20]),
)
def test_with_a_bank_the_list_of_a_candidate_is_the_bank_and_the_query(
    method, seed, banked, levels, k, reverse, block
):
    s = matrix(seed, 6, 9, levels)
    own = {"k": k, "reverse": reverse}
    chosen = MethodSettings(method, **own)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corrections, "MOST_NUMBERS", block)
        for direction in (s, s.T):
            bank = matrix(seed + 1, banked, direction.shape[1], levels)
            found = rerank_by(direction, chosen, Bank(bank))
            _, expected = method_loops.loop_with_bank(direction, bank, **own, **TERMS[method])
            np.testing.assert_allclose(found.scores, np.array(expected), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("method", [name for name in METHODS if name != "dual_bank"])
def test_a_method_that_reads_no_other_query_gives_one_query_alone_the_same(method):
    s = matrix(5, 12, 30, None)
    bank = Bank(matrix(6, 40, 30, None))
    for given_bank in (None, bank):
        whole = rerank_by(s, MethodSettings(method), given_bank)
        alone = [rerank_by(s[[q]], MethodSettings(method), given_bank) for q in range(len(s))]
        same = all(
            (one.candidates[0] == row).all()
            for one, row in zip(alone, whole.candidates, strict=True)
        )
        assert same == (reads(method, given_bank is not None) != methods.OTHERS)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_features_equal_the_dense_matrix(method, kind):
    r = np.random.default_rng(7)
    q, c, bank_q, bank_c = (
        kind(r.standard_normal((rows, 16)).astype(np.float32)) / 4 for rows in (300, 500, 90, 80)
    )
    bank = Bank(FeatureProduct(bank_q, c), FeatureProduct(bank_c, c))
    dense = Bank(*(torch.as_tensor(part @ c.T) for part in (bank_q, bank_c)))
    for given_bank, given_dense in ((None, None), (bank, dense)):
        if METHODS[method].bank == "required" and given_bank is None:
            continue
        found = rerank_by(FeatureProduct(q, c), MethodSettings(method), given_bank, memory_mib=1)
        expected = rerank_by(q @ c.T, MethodSettings(method), given_dense)
        assert type(found.scores) is type(expected.scores)
        assert (np.asarray(found.candidates) == np.asarray(expected.candidates)).mean() > 0.999
        np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-5, atol=1e-5)


def test_features_of_the_paper_s_score_stay_bit_for_bit():
    r = np.random.default_rng(8)
    q, c = (r.standard_normal((rows, 8)).astype(np.float32) for rows in (120, 200))
    found, expected = rerank_by(FeatureProduct(q, c), MethodSettings()), rerank_features(q, c)
    np.testing.assert_array_equal(found.scores, expected.scores)


@pytest.mark.parametrize("method", METHODS)
def test_ranks_are_places_in_the_order(method):
    s = matrix(9, 8, 24, None)
    own_image = np.arange(24) // 3
    banks = [Bank(matrix(10, 5, n, None), matrix(11, 6, n, None)) for n in (24, 8)]
    task = RetrievalTask.of(s, own_image, Banks(*banks))
    both = task.orders(MethodSettings(method, k=4))
    ranks = task.ranks(both)
    order = both[0].best(24)[0]
    for image, row in enumerate(order.tolist()):
        assert ranks.i2t[image] == 1 + min(row.index(c) for c in range(3 * image, 3 * image + 3))
    order = both[1].best(8)[0]
    for caption, row in enumerate(order.tolist()):
        assert ranks.t2i[caption] == 1 + row.index(caption // 3)
    if method == "none":
        for found, expected in zip(ranks, retrieval_ranks(s, own_image), strict=True):
            assert torch.equal(found, expected)


def test_equal_candidates_stay_equal_and_in_the_order_of_their_indices():
    s = np.repeat(matrix(12, 9, 5, None), 40, axis=1).astype(np.float32)
    for method in CORRECTIONS:
        chosen = MethodSettings(method)
        bank = Bank(s, s) if method == "dual_bank" else None
        for row in rerank_by(s, chosen, bank, k=200).candidates.reshape(9, 5, 40).tolist():
            assert all(group == list(range(group[0], group[0] + 40)) for group in row)


def test_nnn_equals_its_authors_package():
    package = pytest.importorskip("nnn")
    r = np.random.default_rng(13)
    q, c, bank = (r.standard_normal((rows, 12)).astype(np.float32) for rows in (20, 50, 40))
    ranker = package.NNNRanker(
        package.NNNRetriever(12), c, bank, alternate_ks=8, batch_size=16, alternate_weight=0.6
    )
    values, order = ranker.search(q, 10)
    found = rerank_by(
        FeatureProduct(q, c),
        MethodSettings("nnn", neighbours=8, alpha=0.6),
        Bank(FeatureProduct(bank, c)),
        k=10,
    )
    np.testing.assert_array_equal(found.candidates, order)
    np.testing.assert_allclose(found.scores, values, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "best"}, "method must be one of none, multivariate"),
        ({"beta": 0.5}, "beta must be between 1 and 100"),
        ({"alpha": np.nan}, "alpha must be a finite number"),
        ({"neighbours": 0}, "neighbours must be an integer"),
        ({"activation": 1.5}, "activation must be an integer"),
    ],
)
def test_settings_without_a_meaning_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        MethodSettings(**arguments)


def test_banks_that_do_not_fit_are_refused():
    for wrong in (np.ones((3, 4)), np.ones((0, 5)), np.ones(5)):
        with pytest.raises(ValueError, match=r"bank queries must be \(B, 5\)"):
            rerank_by(np.eye(5), MethodSettings("nnn"), Bank(wrong))
    with pytest.raises(ValueError, match="dual_bank needs a bank"):
        rerank_by(np.eye(3), MethodSettings("dual_bank"))
    with pytest.raises(ValueError, match="needs a bank of candidates"):
        rerank_by(np.eye(3), MethodSettings("dual_bank"), Bank(torch.eye(3)))
    bad = torch.eye(3)
    bad[1, 1] = torch.nan
    for method in ("inverted_softmax", "csls", "multivariate"):
        with pytest.raises(ValueError, match="NaN or infinity"):
            rerank_by(np.eye(3), MethodSettings(method), Bank(bad))


def test_the_options_offer_every_method():
    kind = RerankOptions.model_fields["method"].annotation
    assert get_args(kind) == tuple(METHODS)
    default = RerankOptions()
    assert all(getattr(default, name) == value for name, value in NUMBERS.items())
    assert {name: getattr(MethodSettings(), name) for name in NUMBERS} == NUMBERS


@pytest.mark.parametrize("shape", [(0, 5), (5, 0)])
@pytest.mark.parametrize("method", [name for name in METHODS if name != "dual_bank"])
def test_nothing_to_rank_gives_nothing(method, shape):
    found = rerank_by(np.zeros(shape), MethodSettings(method))
    assert found.candidates.shape == found.scores.shape == (shape[0], 0)
