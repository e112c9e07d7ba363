import json

import numpy as np
import pytest

from galr.common import cli
from postprocessing.evaluator import evaluators_of
from postprocessing.files import read_part, saved_folds
from postprocessing.rerank import RerankSettings
from postprocessing.rerank.__main__ import main
from tests.postprocessing.test_command_line import expected

GRID = ["--k", "3,10", "--w-saliency", "0,0.2", "--w-reverse", "0,0.5,1.1"]


def run_sweep(folder, *more):
    main(["sweep", "--folder", str(folder), *GRID, "--out", f"{folder}/sweep.json", *more])
    return json.loads((folder / "sweep.json").read_text())


def test_metrics_of_many_settings_are_those_of_rerank(saved):
    part = read_part(saved / "0_test_similarity.npy")
    (evaluator,) = evaluators_of([part], 60)
    for settings in (
        {"k": 4},
        {"k": 60, "w_rank": 0.0},
        {"k": 4, "w_reverse": 0.2},
        {"k": 4, "reverse": "absolute", "l": 2},
    ):
        assert evaluator.reranked(RerankSettings(**settings)) == expected(
            part.similarity, part.caption_to_image, **settings
        )
    with pytest.raises(ValueError, match="at most 60, got 61"):
        evaluator.reranked(RerankSettings(k=61))


def test_the_best_on_validation_is_reported_on_test(saved, capsys):
    results = run_sweep(saved, "--heat-map", f"{saved}/sweep.png")
    tried = results["validation"]["tried"]
    assert len(tried) == 12
    chosen = results["chosen"]
    assert chosen["mR"] == max(each["mR"] for each in tried)
    settings = {name: chosen[name] for name in ("k", "w_saliency", "w_rank", "w_reverse")}
    validation = [read_part(path) for path in saved_folds(saved, "validation").values()]
    means = [expected(part.similarity, part.caption_to_image, **settings)["mR"]
             for part in validation]  # fmt: skip
    assert chosen["mR"] == pytest.approx(np.mean(means))
    for fold, path in saved_folds(saved, "test").items():
        part = read_part(path)
        found = results["test"]["chosen_settings"]["folds"][fold]
        assert found == expected(part.similarity, part.caption_to_image, **settings)
    assert (saved / "sweep.png").read_bytes().startswith(b"\x89PNG")
    assert "chosen: k" in capsys.readouterr().out


def test_the_heat_map_is_of_the_chosen_settings(saved, monkeypatch):
    drawn = []
    monkeypatch.setattr("postprocessing.plots.draw_heat_map", lambda *what: drawn.append(what))
    results = run_sweep(saved, "--xi", "0.05,0.5", "--heat-map", "sweep.png")
    (_, values, (_, rows), (_, columns), (row, column), _), chosen = drawn[0], results["chosen"]
    assert values.shape == (2, 3)
    assert values[row, column] == values.max() == chosen["mR"]
    assert (rows[row], columns[column]) == (chosen["w_saliency"], chosen["w_reverse"])
    for each in results["validation"]["tried"]:
        if each["k"] == chosen["k"] and each["xi"] == chosen["xi"]:
            at = rows.index(each["w_saliency"]), columns.index(each["w_reverse"])
            assert values[at] == each["mR"]


def test_the_test_part_plays_no_part_in_the_choice(saved):
    chosen = run_sweep(saved)["chosen"]
    for fold in (0, 1):
        path = saved / f"{fold}_test_similarity.npy"
        np.save(path, -np.load(path))
    assert run_sweep(saved)["chosen"] == chosen


def test_folders_without_the_parts_are_one_line(saved, tmp_path, capsys):
    (saved / "1_test_similarity.npy").unlink()
    assert cli.run(main, ["sweep", "--folder", str(saved), *GRID]) == 2
    assert "test parts of [0]" in capsys.readouterr().err
    empty = tmp_path / "empty"
    assert cli.run(main, ["sweep", "--folder", str(empty)]) == 2
    assert "no <fold>_validation_similarity.npy" in capsys.readouterr().err


def test_ablation_keeps_terms_alone_in_pairs_and_all(saved, capsys):
    main(["ablation", "--folder", str(saved), "--k", "8", "--out", f"{saved}/ablation.json"])
    rows = json.loads((saved / "ablation.json").read_text())["terms"]
    assert list(rows) == [
        "without re-ranking", "saliency", "rank", "reverse rank", "saliency + rank",
        "saliency + reverse rank", "rank + reverse rank", "saliency + rank + reverse rank",
    ]  # fmt: skip
    assert rows["rank"] == rows["without re-ranking"]
    parts = [read_part(path) for path in saved_folds(saved, "test").values()]
    mean = np.mean([
        expected(part.similarity, part.caption_to_image, k=8, w_rank=0.0)["mR"] for part in parts
    ])  # fmt: skip
    assert rows["saliency + reverse rank"]["mR"] == pytest.approx(mean)
    assert "saliency + reverse rank" in capsys.readouterr().out


def test_ablation_wants_one_kind_of_input(saved, capsys):
    assert cli.run(main, ["ablation"]) == 2
    assert "give either --similarity or --folder" in capsys.readouterr().err
    main(["ablation", "--similarity", f"{saved}/0_test_similarity.npy"])
