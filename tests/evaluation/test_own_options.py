"""A checkpoint that knows its options and vocabulary, evaluated without naming either."""

import json
import shutil

import pytest
import torch

from galr.commands import test as test_command
from galr.commands import test_single as single_command
from galr.common.errors import UserError
from galr.options import load_options
from galr.training.trainer import Trainer
from tests.tiny import make_data

CHANGES = ["optim.epochs=1", "k_fold.nums=1", "device=cpu", "seed=7"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """An experiment in another folder than at its training, whose vocabulary file is gone."""
    root = tmp_path_factory.mktemp("own")
    path = make_data(root)
    options = load_options(path, CHANGES)
    Trainer(options).fit()
    test_command.main(
        ["--path_opt", str(path), *(f"--set={each}" for each in CHANGES), "--no-report"]
    )
    moved = root / "moved" / "001"
    shutil.copytree(options.experiment_folder, moved)
    (moved / "results.json").rename(root / "results.json")
    (root / "vocab.json").unlink()
    path.unlink()
    return moved, json.loads((root / "results.json").read_text())


def test_the_folder_of_an_experiment_is_all_that_a_test_needs(trained):
    folder, before = trained
    test_command.main([str(folder)])
    results = json.loads((folder / "results.json").read_text())
    assert results["folds"][0]["without_rerank"] == before["folds"][0]["without_rerank"]
    assert results["options"]["seed"] == 7
    assert (folder / "report.html").is_file()


@pytest.mark.parametrize("name", [".", "best.pth"])
def test_a_checkpoint_or_its_folder_is_all_that_a_single_test_needs(trained, name):
    folder, before = trained
    out = folder / "single.json"
    single_command.main(
        ["--resume", str(folder / "0" / name), "--out", str(out), "--set", "rerank.k=2"]
    )
    results = json.loads(out.read_text())
    assert results["folds"][0]["without_rerank"] == before["folds"][0]["without_rerank"]
    assert results["test_options"]["rerank"]["k"] == 2


def test_a_checkpoint_without_options_asks_for_their_file(trained, tmp_path):
    bare = tmp_path / "bare.pth"
    entries = torch.load(trained[0] / "0" / "best.pth", weights_only=True)
    torch.save({"model": entries["model"]}, bare)
    with pytest.raises(UserError, match=r"does not contain the options .* --path_opt"):
        single_command.main(["--resume", str(bare)])


def test_a_folder_without_folds_and_two_sources_of_options_are_refused(tmp_path, capsys):
    with pytest.raises(UserError, match="holds no trained fold"):
        test_command.main([str(tmp_path)])
    with pytest.raises(SystemExit):
        test_command.main([str(tmp_path), "--path_opt", "UCM_GaLR"])
    assert "omit either it or --path_opt" in capsys.readouterr().err


def test_a_damaged_vocabulary_in_a_checkpoint_is_named(trained, tmp_path):
    damaged = tmp_path / "damaged.pth"
    entries = torch.load(trained[0] / "0" / "best.pth", weights_only=True)
    torch.save({**entries, "vocabulary": ["a", "a", "<unk>"]}, damaged)
    with pytest.raises(UserError, match=r"damaged\.pth: holds no vocabulary"):
        single_command.main(["--resume", str(damaged)])
