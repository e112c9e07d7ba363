"""The recipe that starts from the encoders of two packages, on a data set of 26 images."""

import json
from pathlib import Path

import pytest
import torch
import torchvision

import galr
from galr.evaluation.evaluator import evaluate_experiment
from galr.options import load_options
from galr.training.trainer import Trainer
from tests.tiny import make_data

pytest.importorskip("timm")
pytest.importorskip("sentence_transformers")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("pretrained")
    make_data(root)
    return root


@pytest.fixture(scope="module")
def options(root):
    return recipe(root, "recipes/rsicd_pretrained_30min", "model.multiscale.pyramid=[32]")


def recipe(root, name, *changes):
    data, cache = root / "data" / "tiny_precomp", root / "cache" / name
    return load_options(
        name,
        [
            f"dataset.data_path={data}", f"dataset.vocab_path={root / 'vocab.json'}",
            f"dataset.image_cache={cache}", f"logs.ckpt_save_path={root}", "device=cpu",
            "dataset.image_size=64", "dataset.batch_size=9", "optim.epochs=30", "seed=3",
            *changes,
        ],
    )  # fmt: skip


def test_learns_and_is_read_back_with_its_options(options):
    Trainer(options).fit()
    results = evaluate_experiment(options).results
    # 6 images: by chance a caption finds its own first once in 6
    assert results["folds"][0]["without_rerank"]["t2i_r1"] > 50
    assert len(list(Path(options.dataset.image_cache).rglob("*features*"))) == 1
    model = galr.load(options.experiment_folder / "0")
    image = torch.rand(3, 64, 64)
    captions = model.encode_texts(["a red square on the ground", "there is one green stripe"])
    turned = [model.similarity([torch.rot90(image, k, (1, 2))], captions) for k in (0, 1)]
    torch.testing.assert_close(*turned, rtol=1e-4, atol=1e-5)  # four rotations are averaged
    stored = json.loads((options.experiment_folder / "results.json").read_text())
    assert stored["options"]["model"]["multiscale"]["average_rotations"] is True


def test_takes_a_file_of_resnet18_in_its_place(root):
    # random weights in the layout of the published file, which has a classifier besides
    torch.manual_seed(0)
    file = root / "resnet18.pth"
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), file)
    options = recipe(
        root, "recipes/rsicd_pretrained_resnet18", f"model.backbone.weights={file}",
        "optim.epochs=2", "logs.eval_step=2", "model.text.type=BagOfWords",
    )  # fmt: skip
    (state,) = Trainer(options).fit()
    assert state.history[-1]["loss"] < state.history[0]["loss"]
    (cache,) = (root / "cache").rglob("*features*_960_*")  # all four levels, pooled
    assert cache.stat().st_size > 20 * 4 * 960 * 2
    saved = torch.load(options.experiment_folder / "0" / "best.pth", weights_only=True)["model"]
    kept = torch.load(file, weights_only=True)["layer4.1.conv2.weight"]
    assert any(torch.equal(kept, weight) for weight in saved.values())


def test_a_last_batch_of_one_pair_is_trained_on():
    head = galr.model.mvsa.Standardise(3, affine=False)
    row = torch.tensor([[1.0, 2.0, 3.0]])
    torch.testing.assert_close(head(row), row / (1 + head.eps) ** 0.5)
