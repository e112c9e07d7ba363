import json

import numpy as np
import pytest

from galr.common import cli
from postprocessing.explain import explain
from postprocessing.rerank import RerankSettings, rerank
from postprocessing.rerank.__main__ import main


@pytest.mark.parametrize("reverse", ["relative", "absolute"])
def test_the_terms_add_up_to_the_order_of_the_rerank(reverse):
    similarity = np.random.default_rng(0).standard_normal((12, 50))
    settings = RerankSettings(k=20, reverse=reverse)
    whole = rerank(similarity, k=20, reverse=reverse)
    for query in range(12):
        rows = explain(similarity, query, settings)
        assert [row.candidate for row in rows] == whole.candidates[query].tolist()
        assert [row.now for row in rows] == list(range(1, 21))
        order = np.argsort(-similarity[query])
        assert [order[row.was - 1] for row in rows] == [row.candidate for row in rows]
        for row, score in zip(rows, whole.scores[query], strict=True):
            assert row.score == pytest.approx(float(score), rel=1e-6)
            assert row.saliency + row.rank + row.reverse == pytest.approx(row.score)
            assert row.similarity == similarity[query, row.candidate]
            above = similarity[:, row.candidate] > similarity[query, row.candidate]
            assert row.own_place == 1 + above.sum()
            place = row.own_place if reverse == "absolute" else row.reverse_place
            assert row.reverse == pytest.approx(1.1 * np.exp(-0.05 * place))


def test_the_command_prints_marks_and_draws(saved, capsys):
    names = saved / "names.txt"
    names.write_text("".join(f"caption number {c}\n" for c in range(100)))
    main([
        "explain", "--similarity", f"{saved}/0_test_similarity.npy", "--query", "4",
        "--names", str(names), "--out", f"{saved}/e.json", "--picture", f"{saved}/e.png",
        "--top", "5", "--k", "12",
    ])  # fmt: skip
    written = json.loads((saved / "e.json").read_text())
    captions = np.load(saved / "0_test_caption_to_image.npy")
    assert written["right"] == np.flatnonzero(captions == 4).tolist()
    assert len(written["candidates"]) == 12
    printed = capsys.readouterr().out
    first = written["candidates"][0]["candidate"]
    assert f"caption number {first}\n" in printed
    assert (f"{first}*" in printed) == (first in written["right"])
    assert (saved / "e.png").read_bytes().startswith(b"\x89PNG")


def test_a_caption_may_be_the_query(saved, capsys):
    path = f"{saved}/0_test_similarity.npy"
    main(["explain", "--similarity", path, "--query", "99", "--direction", "t2i", "--top", "30"])
    assert capsys.readouterr().out.count("*") == 1  # one image is right, among all 20


@pytest.mark.parametrize("query", ["20", "-1"])
def test_queries_that_are_not_there_are_one_line(saved, capsys, query):
    path = f"{saved}/0_test_similarity.npy"
    assert cli.run(main, ["explain", "--similarity", path, "--query", query]) == 2
    assert f"there is no query {query}" in capsys.readouterr().err


def test_names_that_do_not_fit_are_one_line(saved, capsys):
    (saved / "names.txt").write_text("one\n")
    arguments = ["--similarity", f"{saved}/0_test_similarity.npy", "--query", "0"]
    assert cli.run(main, ["explain", *arguments, "--names", f"{saved}/names.txt"]) == 2
    assert "has 1 lines; write 100, one name per line" in capsys.readouterr().err
