"""The parts of the report against their definitions."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from galr.data.annotations import Annotations
from galr.evaluation.reranking import rerank_both
from galr.metrics.retrieval import reranked_ranks, retrieval_ranks
from galr.options import RerankOptions
from galr.report.classes import class_of, class_part, read_classes
from galr.report.direction import Direction
from galr.report.files import ReportFiles, drawing
from galr.report.moved import moved_part
from galr.report.queries import best_and_worst


def annotations_of(images, per_image, name="scene {0}.png", caption="caption {0}"):
    own = np.repeat(np.arange(images), per_image)
    return Annotations(
        "test",
        tuple(name.format(image) for image in range(images)),
        tuple(caption.format(number) for number in range(len(own))),
        own,
    )


def both(similarity, annotations, options):
    """Both directions of ``similarity`` (I, C)."""
    similarity = torch.as_tensor(similarity)
    plain = retrieval_ranks(similarity, annotations.caption_to_image)
    reranked = rerank_both(similarity, options) if options.enabled else None
    final = plain
    if reranked:
        final = reranked_ranks(plain, *reranked, annotations.caption_to_image)
    return [
        Direction(
            name,
            annotations,
            (similarity if number == 0 else similarity.T).numpy(),
            plain[number].numpy(),
            final[number].numpy(),
            reranked[number] if reranked else None,
        )
        for number, name in enumerate(("i2t", "t2i"))
    ]


@settings(max_examples=30, deadline=None)
@given(
    images=st.integers(1, 6),
    per_image=st.integers(1, 3),
    k=st.sampled_from([None, 1, 2, 5, 40]),
    levels=st.sampled_from([2, 1000]),
    seed=st.integers(0, 99),
)
def test_the_place_of_the_first_right_answer_is_its_rank(images, per_image, k, levels, seed):
    rng = np.random.default_rng(seed)
    similarity = rng.integers(1, levels, (images, images * per_image), endpoint=True) / levels
    options = RerankOptions(enabled=k is not None, k=k or 1, ties="stable")
    for direction in both(similarity, annotations_of(images, per_image), options):
        for query, rank in enumerate(direction.ranks):
            answers = direction.answers(query, 3)
            right = [answer for answer in answers if answer.right]
            assert right[0].place == rank
            assert [answer.place for answer in answers[:3]] == list(range(1, len(answers[:3]) + 1))
            order = direction.order(query)
            assert sorted(order.tolist()) == list(range(direction.similarity.shape[1]))
            row = direction.similarity[query]
            own = set(direction.right(query).tolist())
            wrong = [value for at, value in enumerate(row) if at not in own]
            margin = max(row[at] for at in own) - max(wrong, default=-1.0)
            assert direction.margins[query] == pytest.approx(margin)


def test_answers_of_the_same_text_are_known():
    annotations = Annotations(
        "test", ("a", "b", "c"), ("x", "y", "x", "z"), np.array([0, 0, 1, 2], dtype=np.int64)
    )
    images, captions = both(np.eye(3)[:, [0, 0, 1, 2]], annotations, RerankOptions(enabled=False))
    assert images.same_text(0).tolist() == [0, 1, 2]
    assert captions.same_text(2).tolist() == [0, 1]
    same = [(answer.candidate, answer.right) for answer in captions.answers(2, 3) if answer.same]
    assert same == [(1, True), (0, False)]


def test_best_and_worst_queries():
    annotations = annotations_of(4, 1)
    similarity = np.array(
        [[0.9, 0.1, 0.0, 0.0], [0.0, 0.5, 0.4, 0.0], [0.3, 0.2, 0.1, 0.0], [0.9, 0.8, 0.7, 0.1]]
    )
    images, _ = both(similarity, annotations, RerankOptions(enabled=False))
    assert best_and_worst(images, 2) == ([0, 1], [3, 2])
    # of few images, none is shown as good and bad
    assert best_and_worst(images, 3) == ([0, 1, 2], [3])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("airport_12.jpg", "airport"),
        ("dense_residential-3.tif", "dense_residential"),
        ("sub/airport_12.jpg", "airport"),
        ("airplane00.tif", "airplane"),
        ("00623.jpg", None),
        ("12_13.jpg", None),
        ("harbor.png", None),
        ("гавань_3.png", "гавань"),
        ("a$b_{x}_4.png", "a$b_{x}"),
    ],
)
def test_class_of_a_name(name, expected):
    assert class_of(name) == expected


def test_names_without_classes_give_none():
    assert read_classes(["1.jpg", "2.jpg"]) is None
    assert read_classes(["test_1.png", "test_2.png"]) is None
    assert read_classes(["a_1.png", "b_1.png"]) is None  # a class an image is no class
    assert read_classes(["a_1.png", "b_1.png", "a_2.png", "7.png"]).of_image.tolist() == [
        0, 1, 0, -1,
    ]  # fmt: skip


def test_recall_and_confusion_by_class(tmp_path):
    names = ("port$_1.png", "port$_2.png", "море_1.png", "море_2.png", "9.png")
    annotations = Annotations("test", names, tuple("abcde"), np.arange(5, dtype=np.int64))
    similarity = np.eye(5)
    similarity[1] = [0, 0, 0, 1, 0]  # a port that is taken for the sea
    pair = both(similarity, annotations, RerankOptions(enabled=False))
    with drawing():
        html = class_part(ReportFiles(tmp_path), read_classes(names), pair)
    assert "1 images carry none" in html
    recall = (tmp_path / "class_recall.csv").read_text().splitlines()
    assert recall[0] == "class,images,i2t R@1,i2t R@5,i2t R@10,t2i R@1,t2i R@5,t2i R@10,mR"
    assert recall[2].startswith("port$,2,50.0,100.0,100.0,50.0,")
    confusion = (tmp_path / "confusion_i2t.csv").read_text().splitlines()
    assert confusion[1:] == ["port$,1,1", "море,0,2"]


def test_moves_count_every_query(tmp_path):
    rng = np.random.default_rng(3)
    annotations = annotations_of(12, 2, caption="<b>$ {0} $</b>")
    similarity = rng.random((12, 24))
    options = RerankOptions(k=6)
    pair = both(similarity, annotations, options)
    with drawing():
        html = moved_part(ReportFiles(tmp_path), pair, options)
    assert "<b>$" not in html
    cells = [list(map(int, re.findall(r"<td class=\"number\">(\d+)</td>", row)))
             for row in html.split("<tr>")[2:4]]  # fmt: skip
    for direction, counts in zip(pair, cells, strict=True):
        before, after = direction.plain_ranks, direction.ranks
        assert counts[:3] == [
            int((after < before).sum()), int((after == before).sum()), int((after > before).sum())
        ]  # fmt: skip
    names = {path.name for path in tmp_path.iterdir()}
    assert {"rerank_moves.svg", "rerank_gain_i2t.png", "rerank_loss_i2t.csv"} <= names


def test_equal_similarities_move_nothing_that_counts(tmp_path):
    options = RerankOptions(k=2, ties="stable")
    pair = both(np.ones((3, 3)), annotations_of(3, 1), options)
    with drawing():
        assert "query" in moved_part(ReportFiles(tmp_path), pair, options)
