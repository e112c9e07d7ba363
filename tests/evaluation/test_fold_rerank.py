"""Re-ranking methods, banks and tuning in test.py, on a tiny experiment that was trained once."""

import json

import numpy as np
import pytest
import torch

from galr.common.errors import UserError
from galr.data.part import read_split
from galr.data.vocabulary import Vocabulary
from galr.evaluation.encode import encode_part
from galr.evaluation.evaluator import evaluate_checkpoint, evaluate_experiment
from galr.metrics.retrieval import retrieval_metrics
from galr.model.build import load_model, read_checkpoint
from galr.options import load_options
from galr.training.trainer import Trainer
from postprocessing.compare import main as compare_main
from postprocessing.methods import METHODS
from postprocessing.tuning import GRIDS
from tests.postprocessing.method_loops import scores
from tests.tiny import make_data


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = make_data(tmp_path_factory.mktemp("fold_rerank"))
    options = load_options(path, ["k_fold.nums=1"])
    Trainer(options).fit()
    return options.experiment_folder / "0" / "best.pth"


def evaluated(checkpoint, tmp_path, *overrides):
    options = load_options(checkpoint.parent / "options.yaml", overrides)
    out = tmp_path / "results.json"
    table = evaluate_checkpoint(options, checkpoint, out).table
    return json.loads(out.read_text()), table


def embeddings_of(checkpoint, split, names=None):
    options = load_options(checkpoint.parent / "options.yaml")
    vocabulary = Vocabulary.load(options.dataset.vocab_path)
    part = read_split(options, split).at(options.dataset.image_size)
    if names is not None:
        images = list(part.annotations.images)
        part = part.select(np.array([images.index(name) for name in names]))
    model = load_model(checkpoint, options, "cpu", words=vocabulary.words)
    return encode_part(model, part, vocabulary, options.dataset), part.annotations


def by_loop(method, banks, checkpoint, **numbers):
    """mR from the loops: banks are embeddings, or None."""
    test, annotations = embeddings_of(checkpoint, "test")
    s = (test.images @ test.captions.T).double()
    given = [None, None]
    if banks is not None:
        given = [
            (banks.images @ test.captions.T).double(),
            (banks.captions @ test.images.T).double(),
        ]
    i2t, t2i = (
        torch.tensor(scores(method, matrix, bank, **numbers))
        for matrix, bank in zip((s, s.T), given, strict=True)
    )
    recalls = [
        value
        for name, matrix in (("i2t", i2t), ("t2i", t2i.T))
        for key, value in retrieval_metrics(matrix, annotations.caption_to_image).items()
        if key.startswith(f"{name}_r")
    ]
    return np.mean(recalls)


NUMBERS = {"beta": 20.0, "neighbours": 3, "alpha": 0.5, "activation": 1}


def test_methods_beside_each_other_with_the_training_part_as_bank(checkpoint, tmp_path):
    names = ("none", "nnn", "csls", "dual_bank", "multivariate")
    results, table = evaluated(
        checkpoint, tmp_path, "rerank.method=inverted_softmax", "rerank.bank=train",
        f"rerank.compare=[{','.join(names)}]", "rerank.neighbours=3", "rerank.alpha=0.5",
    )  # fmt: skip
    fold = results["folds"][0]
    assert fold["rerank"] == {
        "method": "inverted_softmax", "reads": "a bank", "parameters": {"beta": 20.0}
    }  # fmt: skip
    own = read_checkpoint(checkpoint)["fold"]
    assert not set(own["train"]) & set(own["validation"])
    bank, _ = embeddings_of(checkpoint, "train", own["train"])
    expected = by_loop("inverted_softmax", bank, checkpoint, **NUMBERS)
    assert fold["with_rerank"]["mR"] == pytest.approx(expected)
    methods = results["methods"]
    assert tuple(methods) == names
    for name in ("nnn", "csls"):
        assert methods[name]["mean"]["mR"] == pytest.approx(
            by_loop(name, bank, checkpoint, **NUMBERS)
        )
    assert methods["none"]["mean"] == fold["without_rerank"]
    assert methods["none"]["reads"] == "this query alone"
    assert fold["methods"]["nnn"]["parameters"] == {"alpha": 0.5, "neighbours": 3}
    assert "rerank: inverted_softmax, which reads a bank" in table
    assert any(line.startswith("nnn ") and line.endswith("a bank") for line in table.splitlines())


def test_a_bank_may_be_another_folder(checkpoint, tmp_path):
    options = load_options(checkpoint.parent / "options.yaml")
    folder = options.dataset.data_path
    results, _ = evaluated(
        checkpoint, tmp_path, "rerank.method=nnn", f"rerank.bank={folder}",
        "rerank.neighbours=3", "rerank.alpha=0.5",
    )  # fmt: skip
    bank, _ = embeddings_of(checkpoint, "train")
    expected = by_loop("nnn", bank, checkpoint, **NUMBERS)
    assert results["mean"]["with_rerank"]["mR"] == pytest.approx(expected)


def test_without_a_bank_the_other_test_queries_are_read(checkpoint, tmp_path):
    results, _ = evaluated(checkpoint, tmp_path, "rerank.method=csls", "rerank.neighbours=3")
    assert results["folds"][0]["rerank"]["reads"] == "the other test queries"
    expected = by_loop("csls", None, checkpoint, **NUMBERS)
    assert results["mean"]["with_rerank"]["mR"] == pytest.approx(expected)
    assert results["methods"] == {}


def test_numbers_of_every_method_are_chosen_on_validation(checkpoint, tmp_path):
    names = [name for name in METHODS if name != "multivariate"]
    results, _ = evaluated(
        checkpoint, tmp_path, "rerank.tune=validation", "rerank.bank=train",
        f"rerank.compare=[{','.join(names)}]",
    )  # fmt: skip
    fold = results["folds"][0]
    for name, found in {**fold["methods"], "multivariate": fold["rerank"]}.items():
        for parameter, values in GRIDS[name].items():
            assert found["parameters"][parameter] in values


def test_embeddings_are_saved_for_the_comparison(checkpoint, tmp_path, capsys):
    options = load_options(checkpoint.parent / "options.yaml")
    evaluate_experiment(options, tmp_path / "r.json", save_features=tmp_path / "features")
    own = read_checkpoint(checkpoint)["fold"]
    for name, images in (
        ("test", None),
        ("validation", own["validation"]),
        ("train", own["train"]),
    ):
        split = "test" if name == "test" else "train"
        expected, annotations = embeddings_of(checkpoint, split, images)
        folder = tmp_path / "features" / f"0_{name}"
        torch.testing.assert_close(
            torch.from_numpy(np.load(folder / "images.npy")), expected.images, rtol=0, atol=1e-6
        )
        torch.testing.assert_close(
            torch.from_numpy(np.load(folder / "captions.npy")), expected.captions, rtol=0, atol=1e-6
        )
        assert (folder / "captions.txt").read_text().splitlines() == list(annotations.captions)
        np.testing.assert_array_equal(
            np.load(folder / "caption_to_image.npy"), annotations.caption_to_image
        )
    folders = [str(tmp_path / "features" / f"0_{name}") for name in ("test", "train")]
    compare_main(["--features", folders[0], "--bank", folders[1], "--draws", "10"])
    assert "dual_bank, bank" in capsys.readouterr().out


def test_a_checkpoint_that_does_not_name_its_images_has_no_bank(checkpoint, tmp_path):
    state = torch.load(checkpoint, weights_only=True)
    del state["fold"]
    bare = tmp_path / "bare.pth"
    torch.save(state, bare)
    options = load_options(checkpoint.parent / "options.yaml", ["rerank.bank=train"])
    with pytest.raises(UserError, match="does not name the images of its train part"):
        evaluate_checkpoint(options, bare, tmp_path / "results.json")


def test_dual_bank_without_a_bank_is_refused(checkpoint):
    with pytest.raises(UserError, match=r"dual_bank needs rerank\.bank"):
        load_options(checkpoint.parent / "options.yaml", ["rerank.method=dual_bank"])
