"""Options that differ between training and test: what is stored, named and refused."""

import json

import pytest
import torch

from galr.common.errors import UserError
from galr.evaluation.evaluator import evaluate_checkpoint, evaluate_experiment
from galr.options import load_options
from galr.training.trainer import Trainer
from tests.tiny import make_data

TRAINING = ["seed=7", "optim.lr=0.01", "optim.epochs=2", "k_fold.nums=1", "device=cpu",
            "model.multiscale.enabled=false"]  # fmt: skip
NO_MVSA = "model.multiscale.enabled=false"


@pytest.fixture(scope="module")
def yaml(tmp_path_factory):
    """An experiment that was trained with other options than its file's."""
    path = make_data(tmp_path_factory.mktemp("provenance"))
    Trainer(load_options(path, TRAINING)).fit()
    return path


def evaluate(yaml, *overrides):
    options = load_options(yaml, ["k_fold.nums=1", "device=cpu", *overrides])
    table = evaluate_experiment(options).table
    return json.loads((options.experiment_folder / "results.json").read_text()), table


def test_results_hold_the_options_of_training_and_of_test(yaml, caplog):
    results, _ = evaluate(yaml, NO_MVSA, "rerank.k=2")
    assert results["seed"] == 7
    assert results["options"]["seed"] == 7
    assert results["options"]["optim"]["lr"] == 0.01
    assert results["options"]["optim"]["epochs"] == 2
    assert results["test_options"]["seed"] == 5
    assert results["test_options"]["optim"]["lr"] == 0.001
    assert results["test_options"]["rerank"]["k"] == results["rerank"]["k"] == 2
    found = {each["key"]: (each["training"], each["test"]) for each in results["differences"]}
    assert found == {"seed": (7, 5), "optim.lr": (0.01, 0.001), "optim.epochs": (2, 3)}
    assert "seed 7 -> 5; optim.epochs 2 -> 3; optim.lr 0.01 -> 0.001" in caplog.text


def test_a_test_with_the_options_of_the_training_names_no_difference(yaml, caplog):
    results, _ = evaluate(yaml, *TRAINING, "dataset.batch_size_val=3")
    assert results["differences"] == []
    assert "differ" not in caplog.text


@pytest.mark.parametrize(
    "change",
    ["dataset.image_size=64", "dataset.max_words=1", "model.multiscale.enabled=true",
     "model.seq2vec.type=UniSkip"],
)  # fmt: skip
def test_what_the_network_sees_must_be_as_in_training(yaml, change):
    changes = [change] if change.startswith("model.multi") else [NO_MVSA, change]
    if "image_size" in change:
        changes.append("dataset.resize_size=64")
    with pytest.raises(UserError, match=f"was trained with {change.split('=')[0]}") as error:
        evaluate(yaml, *changes)
    assert error.value.place.endswith("best.pth")


def test_a_model_with_a_local_branch_is_not_tested_without_objects(yaml):
    with pytest.raises(UserError, match=r"dataset\.local_path: is null, and the model has a local"):
        evaluate(yaml, NO_MVSA, "dataset.local_path=null")
    results, _ = evaluate(yaml, NO_MVSA, "dataset.local_path=zeros")  # asked for, and said
    (named,) = (each for each in results["differences"] if each["key"] == "dataset.local_path")
    assert named["test"] == "zeros"


def test_folds_that_were_trained_differently_have_no_mean(yaml):
    first = load_options(yaml, TRAINING).experiment_folder / "0" / "best.pth"
    state = torch.load(first, weights_only=True)
    state["options"]["optim"]["lr"] = 0.5
    state["fold"]["index"] = 1
    (first.parents[1] / "1").mkdir()
    torch.save(state, first.parents[1] / "1" / "best.pth")
    with pytest.raises(UserError, match=r"was trained with optim\.lr: 0\.5, and .* with 0\.01"):
        evaluate(yaml, NO_MVSA, "k_fold.nums=2")
    state["options"]["optim"]["lr"] = 0.01
    state["options"]["optim"]["epochs"] = 9
    torch.save(state, first.parents[1] / "1" / "best.pth")
    results, _ = evaluate(yaml, NO_MVSA, "k_fold.nums=2")
    assert [fold["differs_from_options"] for fold in results["folds"]] == [{}, {"optim.epochs": 9}]


def test_a_checkpoint_without_options_says_so(yaml, tmp_path, caplog):
    caplog.set_level("INFO")
    first = load_options(yaml, TRAINING).experiment_folder / "0" / "best.pth"
    state = torch.load(first, weights_only=True)
    torch.save({"model": state["model"]}, tmp_path / "bare.pth")
    options = load_options(yaml, [NO_MVSA, "device=cpu"])
    evaluate_checkpoint(options, tmp_path / "bare.pth")
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["options"] is None
    assert results["seed"] is None
    assert results["test_options"]["seed"] == 5
    assert "does not contain the options it was trained with" in caplog.text
