"""Every model of the family through the same training, test and search."""

import json

import numpy as np
import pytest
import torch

from galr.common.errors import UserError
from galr.evaluation.evaluator import evaluate_experiment
from galr.options import load_options
from galr.search import Archive
from galr.search.build import build_archive
from galr.training.trainer import Trainer
from tests.tiny import make_data

MODELS = {
    "soft": ["model.name=AMFMN", "model.cross_attention.att_type=soft_att"],
    "fusion": ["model.name=AMFMN", "model.cross_attention.att_type=fusion_att"],
    "similarity": ["model.name=AMFMN", "model.cross_attention.att_type=similarity_att"],
    "VSE++": ["model.name=VSE++", "optim.loss=hard_triplet"],
    "TwoTower": ["model.name=TwoTower", "optim.loss=infonce"],
}


@pytest.mark.parametrize("changes", MODELS.values(), ids=MODELS)
def test_a_model_is_trained_tested_and_searched_with(tmp_path, monkeypatch, changes):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    short = ["k_fold.nums=1", "optim.epochs=2", "optim.micro_batch=6", "device=cpu"]
    options = load_options(make_data(tmp_path), [*short, *changes, "rerank.compare=[csls]"])
    Trainer(options).fit()
    best = options.experiment_folder / "0" / "best.pth"
    state = torch.load(best, weights_only=True)["model"]
    assert not any(name.startswith("local_encoder.") for name in state)
    evaluate_experiment(options, save_similarity=str(tmp_path / "sims"))
    results = json.loads((options.experiment_folder / "results.json").read_text())
    (fold,) = results["folds"]
    assert fold["methods"]["csls"]
    assert fold["cost"]["parameters"] == sum(
        tensor.numel() for name, tensor in state.items() if "running" not in name
        and "num_batches" not in name
    )  # fmt: skip
    similarity = np.load(tmp_path / "sims" / "0_test_similarity.npy")
    captions = (tmp_path / "data/tiny_precomp/test_caps.txt").read_text().splitlines()
    folder = tmp_path / "pictures"
    folder.mkdir()
    for path in (tmp_path / "data/tiny_precomp/images").glob("test_*.png"):
        (folder / path.name).write_bytes(path.read_bytes())
    build_archive(folder, best, tmp_path / "archive", captions=_file(tmp_path, captions))
    archive = Archive.open(tmp_path / "archive")
    for number, caption in enumerate(captions[:3]):
        found = {match.name: match.score for match in archive.query(caption, k=6)}
        expected = {f"test_{i}.png": similarity[i, number] for i in range(6)}
        assert found == pytest.approx(expected, abs=1e-5)
    image = archive.query(image=folder / "test_2.png", k=2)
    assert image[0].name == "test_2.png"
    assert image[0].score == pytest.approx(1, abs=1e-5)
    for method in ("multivariate", "inverted_softmax"):
        assert len(archive.query(captions[0], k=3, rerank=method)) == 3
    if "model.name=AMFMN" in changes:
        with pytest.raises(UserError, match="use --kind flat"):
            build_archive(folder, best, tmp_path / "other", kind="hnsw")
        with pytest.raises(UserError, match="search by one of the two"):
            archive.query(captions[0], image=folder / "test_2.png")


def _file(folder, captions):
    path = folder / "captions.txt"
    path.write_text("\n".join(captions) + "\n")
    return path
