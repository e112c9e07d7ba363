import json
import math

import pytest

from galr.common.atomic import write_json
from galr.common.errors import UserError
from galr.evaluation.results import FoldResult, PartMetrics, results_of, results_table
from galr.options import options_from_dict

KEYS = [
    f"{direction}_{name}"
    for direction in ("i2t", "t2i")
    for name in ("r1", "r5", "r10", "medr", "meanr")
] + ["mR"]


OPTIONS = options_from_dict({"seed": 3}, "test")


def fold(number, value, with_rerank=True, trained=OPTIONS):
    variants = {
        "without_rerank": dict.fromkeys(KEYS, value),
        "with_rerank": dict.fromkeys(KEYS, value + 1) if with_rerank else None,
    }
    split = {"test_images": 6}
    metrics = PartMetrics(variants, variants)
    return FoldResult(number, f"{number}/best.pth", split, metrics, trained)


def test_results_hold_what_makes_a_number_reproducible(tmp_path):
    results = results_of(OPTIONS, [fold(0, 10.0), fold(1, 20.0), fold(2, 60.0)])
    write_json(tmp_path / "results.json", results)
    stored = json.loads((tmp_path / "results.json").read_text())
    assert stored["seed"] == 3
    assert stored["options"]["optim"]["margin"] == 0.2
    assert set(stored["versions"]) >= {"galr", "python", "torch", "numpy"}
    assert [each["fold"] for each in stored["folds"]] == [0, 1, 2]
    assert stored["folds"][1]["checkpoint"] == "1/best.pth"
    assert stored["folds"][1]["with_rerank"]["mR"] == 21.0
    assert stored["runs"] == 3
    assert stored["mean"]["without_rerank"]["mR"] == 30.0
    assert stored["mean"]["with_rerank"]["t2i_meanr"] == 31.0
    assert stored["std"]["without_rerank"]["mR"] == pytest.approx(math.sqrt(700.0))


def test_a_single_fold_has_no_spread():
    results = results_of(options_from_dict({}, "test"), [fold(0, 10.0)])
    assert results["std"]["without_rerank"]["mR"] == 0.0
    assert "std" not in results_table(results)


def test_the_table_has_a_row_a_fold_and_variant():
    results = results_of(options_from_dict({}, "test"), [fold(0, 10.0), fold(1, 20.0)])
    lines = results_table(results).splitlines()
    row = next(line for line in lines if line.startswith("fold 1, with rerank"))
    assert row.split()[-7:] == ["21.00"] * 7
    assert any(line.startswith("mean of 2, without rerank") and "15.00" in line for line in lines)
    assert any(line.startswith("std of 2, without rerank") and "7.07" in line for line in lines)


def test_without_rerank_the_table_and_the_file_say_so():
    results = results_of(options_from_dict({}, "test"), [fold(0, 10.0, with_rerank=False)])
    assert results["mean"]["with_rerank"] is None
    assert "with rerank" not in results_table(results)


def test_a_table_without_the_plain_order_still_has_the_reranked_rows():
    results = results_of(OPTIONS, [fold(0, 10.0)])
    results["mean"]["without_rerank"] = None
    assert "fold 0, with rerank" in results_table(results)


def test_folds_that_were_trained_differently_are_refused():
    other = options_from_dict({"seed": 3, "optim": {"lr": 0.5}}, "test")
    with pytest.raises(
        UserError, match=r"1/best\.pth: was trained with optim\.lr: 0\.5, and 0/best"
    ):
        results_of(OPTIONS, [fold(0, 10.0), fold(1, 20.0, trained=other)])


def test_folds_may_differ_in_epochs_and_where_they_ran():
    other = options_from_dict({"seed": 3, "device": "cpu", "optim": {"epochs": 7}}, "test")
    results = results_of(OPTIONS, [fold(0, 10.0), fold(1, 20.0, trained=other)])
    assert results["folds"][0]["differs_from_options"] == {}
    assert results["folds"][1]["differs_from_options"] == {"device": "cpu", "optim.epochs": 7}
    assert results["options"]["optim"]["epochs"] == OPTIONS.optim.epochs


@pytest.mark.parametrize("unknown", [0, 1])
def test_a_checkpoint_that_does_not_say_is_taken_as_it_is(unknown):
    other = options_from_dict({"optim": {"lr": 0.5}}, "test")
    trained = [None if number == unknown else other for number in (0, 1)]
    results = results_of(OPTIONS, [fold(n, 10.0, trained=trained[n]) for n in (0, 1)])
    assert results["folds"][1]["differs_from_options"] == {}
    assert (results["seed"] is None) == (unknown == 0)


def test_differences_of_a_test_from_its_training_are_named():
    tested = options_from_dict({"seed": 3, "optim": {"lr": 0.5}, "rerank": {"k": 9}}, "test")
    differences = results_of(tested, [fold(0, 10.0)])["differences"]
    assert differences == [{"key": "optim.lr", "training": OPTIONS.optim.lr, "test": 0.5}]
