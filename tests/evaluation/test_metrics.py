import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from galr.data.annotations import caption_groups
from galr.metrics import retrieval as metrics
from galr.metrics.retrieval import (
    metrics_of_ranks,
    reranked_ranks,
    retrieval_metrics,
    retrieval_ranks,
)
from galr.metrics.similarities import FeatureProduct
from postprocessing.rerank import Reranked


def example(seed, images=7, captions=23, levels=None):
    """Similarities (with ties where ``levels`` is given) and captions in mixed order."""
    r = np.random.default_rng(seed)
    similarity = r.standard_normal((images, captions))
    if levels is not None:
        similarity = r.integers(0, levels, (images, captions)).astype(float)
    caption_to_image = np.concatenate([np.arange(images), r.integers(0, images, captions - images)])
    r.shuffle(caption_to_image)
    return similarity, caption_to_image


def loop_ranks(similarity, caption_to_image, group):
    """Both directions' ranks from the definition, one query at a time."""
    images, captions = similarity.shape
    texts = [{group[c] for c in range(captions) if caption_to_image[c] == i} for i in range(images)]
    right = np.array([[group[c] in texts[i] for c in range(captions)] for i in range(images)])

    def rank(scores, is_right):
        best = max(s for s, r in zip(scores, is_right, strict=True) if r)
        return 1 + sum(s >= best and not r for s, r in zip(scores, is_right, strict=True))

    return (
        [rank(similarity[i], right[i]) for i in range(images)],
        [rank(similarity[:, c], right[:, c]) for c in range(captions)],
    )


@pytest.mark.parametrize("block", [1, 50, 1 << 20])
@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    images=st.integers(1, 9),
    more=st.integers(0, 20),
    levels=st.one_of(st.none(), st.integers(1, 4)),
    texts=st.integers(1, 30),
)
def test_ranks_equal_the_definition(block, seed, images, more, levels, texts):
    similarity, caption_to_image = example(seed, images, images + more, levels)
    captions = len(caption_to_image)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "BLOCK_NUMBERS", block)
        for group in (None, np.random.default_rng(seed).integers(0, texts, captions)):
            ranks = retrieval_ranks(similarity, caption_to_image, group)
            expected = loop_ranks(
                similarity, caption_to_image, np.arange(captions) if group is None else group
            )
            # without groups each caption has a text of its own
            assert ranks.i2t.tolist() == expected[0]
            assert ranks.t2i.tolist() == expected[1]


def test_numbers_of_a_worked_example():
    similarity = [[0.9, 0.2, 0.5], [0.8, 0.1, 0.4]]
    found = retrieval_metrics(np.array(similarity), np.array([0, 0, 1]))
    assert found["i2t_r1"] == 50.0  # image 1: caption 2 comes second
    assert found["i2t_meanr"] == 1.5
    assert found["i2t_medr"] == 1.0  # the median 1.5, rounded down
    assert found["t2i_r1"] == pytest.approx(200 / 3)
    assert found["t2i_r5"] == 100.0
    assert found["mR"] == pytest.approx((50 + 100 + 100 + 200 / 3 + 100 + 100) / 6)


def test_a_model_that_says_the_same_of_everything_finds_nothing():
    found = retrieval_metrics(np.ones((50, 100)), np.arange(100) // 2)
    assert found["i2t_r10"] == 0
    assert found["t2i_r10"] == 0
    assert found["i2t_meanr"] == 99.0  # behind all 98 wrong captions
    assert found["t2i_meanr"] == 50.0


def test_ranks_do_not_depend_on_scale_kind_or_layout():
    similarity, caption_to_image = example(3)
    expected = retrieval_metrics(similarity, caption_to_image)
    read_only = similarity.copy()
    read_only.setflags(write=False)
    for other in (
        3 * similarity + 1,
        torch.from_numpy(similarity),
        torch.from_numpy(similarity).half(),
        np.asfortranarray(similarity),
        similarity[::-1][::-1],
        similarity.astype(">f8"),
        read_only,
        torch.from_numpy(similarity).requires_grad_(),
    ):
        assert retrieval_metrics(other, torch.from_numpy(caption_to_image)) == expected


def test_captions_in_another_order_give_the_same():
    similarity, caption_to_image = example(4)
    order = np.random.default_rng(0).permutation(len(caption_to_image))
    assert retrieval_metrics(
        similarity[:, order], caption_to_image[order].astype(np.int32)
    ) == retrieval_metrics(similarity, caption_to_image)


def test_features_give_the_ranks_of_their_product(monkeypatch):
    monkeypatch.setattr(metrics, "BLOCK_NUMBERS", 100)
    g = torch.Generator().manual_seed(0)
    images, captions = torch.randn(13, 6, generator=g), torch.randn(41, 6, generator=g)
    caption_to_image = torch.arange(41) % 13
    assert retrieval_metrics(FeatureProduct(images, captions), caption_to_image) == (
        retrieval_metrics(images @ captions.T, caption_to_image)
    )


def test_caption_groups_number_texts():
    assert caption_groups(["a b", "c", "a b", "d", "c"]).tolist() == [0, 1, 0, 2, 1]


def test_reranked_rank_is_among_the_candidates_else_the_plain_one():
    similarity = np.array([[0.9, 0.8, 0.7, 0.1], [0.5, 0.6, 0.7, 0.8], [0.3, 0.9, 0.8, 0.7]])
    caption_to_image = np.array([0, 1, 2, 2])
    plain = retrieval_ranks(similarity, caption_to_image)
    assert plain.i2t.tolist() == [1, 3, 2]
    assert plain.t2i.tolist() == [1, 3, 1, 2]
    i2t = Reranked(
        np.array([[1, 0], [3, 2], [2, 1]]), np.array([[2.0, 1.0], [2.0, 1.0], [1.5, 1.5]])
    )
    t2i = Reranked(np.array([[1, 0], [2, 0], [2, 0], [1, 2]]), np.array([[2.0, 1.0]] * 4))
    found = metrics_of_ranks(reranked_ranks(plain, i2t, t2i, caption_to_image))
    # i2t: 0 falls to 2; 1 is beyond the candidates and stays third; 2 ties with a wrong one
    assert found["i2t_meanr"] == pytest.approx((2 + 3 + 2) / 3)
    assert found["t2i_meanr"] == pytest.approx((2 + 3 + 1 + 2) / 4)
    # with captions 1 and 3 of the same text, image 1 answers caption 3 as well
    group = np.array([0, 1, 2, 1])
    before = retrieval_ranks(similarity, caption_to_image, group)
    aware = metrics_of_ranks(
        reranked_ranks(before, i2t, t2i, caption_to_image, caption_group=group)
    )
    assert aware["i2t_meanr"] == pytest.approx((2 + 1 + 1) / 3)
    assert aware["t2i_meanr"] == pytest.approx((2 + 1 + 1 + 1) / 4)


@pytest.mark.parametrize(
    ("similarity", "caption_to_image", "group", "message"),
    [
        (np.ones((2, 3)), np.array([0, 1]), None, r"caption_to_image must be \(3,\).*got \(2,\)"),
        (np.ones(3), np.array([0, 1, 1]), None, r"similarity must be \(I, C\), got shape \(3,\)"),
        (np.ones((2, 3)), np.array([0.0, 1, 1]), None, "integers"),
        (np.ones((2, 3)), np.array([0, 1, 2]), None, r"must lie in 0\.\.1, got 0\.\.2"),
        (np.ones((2, 3)), np.array([-1, 1, 0]), None, r"must lie in 0\.\.1, got -1\.\.1"),
        (np.ones((2, 3)), np.array([1, 1, 1]), None, "image 0 has none"),
        (np.ones((0, 0)), np.array([], dtype=int), None, "no images"),
        (np.array([[1.0, np.nan]]), np.array([0, 0]), None, "similarity holds NaN"),
        (np.ones((2, 3)), np.array([0, 1, 1]), np.array([0, 1]), r"caption_group must be \(3,\)"),
    ],
)
def test_wrong_calls_are_refused(similarity, caption_to_image, group, message):
    with pytest.raises(ValueError, match=message):
        retrieval_metrics(similarity, caption_to_image, caption_group=group)


def test_features_of_different_width_are_refused():
    with pytest.raises(ValueError, match=r"got \(2, 3\) and \(4, 5\)"):
        FeatureProduct(np.ones((2, 3)), np.ones((4, 5)))


def test_features_that_are_no_matrix_or_of_another_type_are_refused():
    for queries, candidates in ((np.ones(3), np.ones((4, 3))), (np.ones((4, 3)), np.ones(3))):
        with pytest.raises(ValueError, match=r"features must be \(Q, D\) and \(C, D\)"):
            FeatureProduct(queries, candidates)
    with pytest.raises(ValueError, match=r"type and device, got .*float32.* and .*float64"):
        FeatureProduct(np.ones((2, 3), np.float32), np.ones((4, 3)))


def test_reranked_results_of_another_size_are_refused():
    plain = retrieval_ranks(np.eye(3), np.arange(3))
    two = Reranked(np.zeros((2, 1), dtype=np.int64), np.zeros((2, 1)))
    with pytest.raises(ValueError, match=r"must be \(3, K\), got \(2, 1\)"):
        reranked_ranks(plain, two, two, np.arange(3))


def test_released_metrics(parity_root):
    golden = np.load(parity_root / "golden_rerank.npz")
    caption_to_image = np.arange(200) // 5
    found = retrieval_metrics(golden["similarity"], caption_to_image)
    ranks = retrieval_ranks(golden["similarity"], caption_to_image)
    for direction in ("i2t", "t2i"):
        names = [f"{direction}_{key}" for key in ("r1", "r5", "r10", "medr", "meanr")]
        assert [found[name] for name in names] == golden[f"{direction}_metrics"].tolist()
        released = golden[f"{direction}_ranks"]  # from 0
        assert (getattr(ranks, direction).numpy() - 1 == released).all()
