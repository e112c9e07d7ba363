"""Checkpoints as folders to share."""

import json

import pytest
import torch

import galr
from galr.common.errors import UserError
from galr.export.folder import export
from galr.model.build import read_checkpoint
from galr.options import load_options
from galr.training.trainer import Trainer
from tests.tiny import make_data, run_module, run_script


@pytest.fixture(scope="module")
def best(tmp_path_factory):
    path = make_data(tmp_path_factory.mktemp("export"))
    options = load_options(path, ["k_fold.nums=1", "optim.epochs=1", "device=cpu"])
    Trainer(options).fit()
    return options.experiment_folder / "0" / "best.pth"


def test_a_folder_gives_the_model_back_and_is_tested_like_a_checkpoint(best, tmp_path):
    folder = tmp_path / "shared"
    done = run_module("galr.export", "--checkpoint", best, "--out", folder)
    assert done.returncode == 0, done.stderr
    names = {path.name for path in folder.iterdir()}
    assert names == {"model.safetensors", "options.yaml", "training.json", "README.md"}
    before, after = galr.load_model(best), galr.load_model(folder)
    for name, value in before.state_dict().items():
        assert torch.equal(after.state_dict()[name], value), name
    stored = read_checkpoint(best)
    for name in ("options", "vocabulary", "fold", "epoch", "versions"):
        assert read_checkpoint(folder)[name] == stored[name]
    yaml = best.parents[3] / "tiny.yaml"
    results = []
    for number, checkpoint in enumerate((best, folder)):
        out = tmp_path / f"{number}.json"
        done = run_script(
            "test_single.py", "--path_opt", yaml, "--resume", checkpoint, "--out", out
        )
        assert done.returncode == 0, done.stderr
        results.append(json.loads(out.read_text()))
    assert results[0]["mean"] == results[1]["mean"]
    assert results[0]["options"] == results[1]["options"]


def test_the_card_says_what_the_model_is(best, tmp_path):
    export(best, tmp_path / "shared")
    card = (tmp_path / "shared" / "README.md").read_text()
    assert "| backbone | timm:test_resnet, images of 32 pixels |" in card
    assert "| training images | 16 |" in card
    assert "| seed, fold | 5, 0 |" in card


def test_bad_input_is_one_line(best, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").touch()
    done = run_module("galr.export", "--checkpoint", best, "--out", tmp_path / "full")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "is not an empty folder" in done.stderr
    torch.save({"model": read_checkpoint(best)["model"]}, tmp_path / "bare.pth")
    with pytest.raises(UserError, match="does not hold the options"):
        export(tmp_path / "bare.pth", tmp_path / "out")
    torch.save({**read_checkpoint(best), "vocabulary": None}, tmp_path / "mute.pth")
    with pytest.raises(UserError, match="does not hold the vocabulary"):
        export(tmp_path / "mute.pth", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["model.safetensors", "options.yaml", "training.json"])
def test_a_damaged_folder_is_one_line(best, tmp_path, name):
    folder = tmp_path / "shared"
    export(best, folder)
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError) as error:
        galr.load_model(folder)
    assert str(folder) in str(error.value)
    assert "\n" not in str(error.value)


def test_an_archive_is_made_with_an_exported_model(best, tmp_path):
    export(best, tmp_path / "shared")
    images = best.parents[3] / "data" / "tiny_precomp" / "images"
    answers = []
    for number, checkpoint in enumerate((best, tmp_path / "shared")):
        out = tmp_path / f"{number}.index"
        done = run_module(
            "galr.search", "index", "--images", images, "--checkpoint", checkpoint, "--out", out
        )
        assert done.returncode == 0, done.stderr
        done = run_module("galr.search", "query", "--index", out, "a red square")
        answers.append(done.stdout)
    assert answers[0] == answers[1]
    assert "train_" in answers[0]
