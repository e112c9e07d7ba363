"""The recipe that starts from the encoders of two packages, on a data set of 26 images."""

import json

import pytest
import torch

import galr
from galr.evaluation.evaluator import evaluate_experiment
from galr.options import load_options
from galr.training.trainer import Trainer
from tests.tiny import make_data

pytest.importorskip("timm")
pytest.importorskip("sentence_transformers")


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    root = tmp_path_factory.mktemp("pretrained")
    make_data(root)
    data = root / "data" / "tiny_precomp"
    return load_options(
        "recipes/rsicd_pretrained",
        [
            f"dataset.data_path={data}", f"dataset.vocab_path={root / 'vocab.json'}",
            f"dataset.image_cache={root / 'cache'}", f"logs.ckpt_save_path={root}", "device=cpu",
            "dataset.image_size=64", "dataset.batch_size=9", "optim.epochs=30", "seed=3",
        ],
    )  # fmt: skip


def test_learns_and_is_read_back_with_its_options(options):
    Trainer(options).fit()
    results = evaluate_experiment(options).results
    # 6 images: by chance a caption finds its own first once in 6
    assert results["folds"][0]["without_rerank"]["t2i_r1"] > 50
    assert len(list((options.experiment_folder.parent / "cache").rglob("*features*"))) == 1
    model = galr.load(options.experiment_folder / "0")
    image = torch.rand(3, 64, 64)
    captions = model.encode_texts(["a red square on the ground", "there is one green stripe"])
    turned = [model.similarity([torch.rot90(image, k, (1, 2))], captions) for k in (0, 1)]
    torch.testing.assert_close(*turned, rtol=1e-4, atol=1e-5)  # four rotations are averaged
    stored = json.loads((options.experiment_folder / "results.json").read_text())
    assert stored["options"]["model"]["multiscale"]["average_rotations"] is True


def test_a_last_batch_of_one_pair_is_trained_on():
    head = galr.model.mvsa.Standardise(3, affine=False)
    row = torch.tensor([[1.0, 2.0, 3.0]])
    torch.testing.assert_close(head(row), row / (1 + head.eps) ** 0.5)
