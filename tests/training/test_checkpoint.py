"""Checkpoints: what they restore, when they refuse, and where a fold stands."""

import re

import pytest
import torch
from torch import nn

from galr.common.errors import UserError
from galr.monitoring.epoch_log import write_log
from galr.options import options_from_dict
from galr.training.checkpoint import Checkpoint, TrainerState, depends_on_epochs


def options_with(*changes):
    """The default options with each ``section.key=value`` set; values are Python's."""
    tree = {"k_fold": {"nums": 1}}
    for key, value in changes:
        *sections, last = key.split(".")
        node = tree
        for section in sections:
            node = node.setdefault(section, {})
        node[last] = value
    return options_from_dict(tree, "test")


def checkpoint(*changes, words=("a", "b"), fold=0, train=("1.tif",), validation=("2.tif",)):
    options = options_with(*changes)
    return Checkpoint(options, list(words), fold=fold, train=train, validation=validation)


def resume(path, now, before=None, progress=None):
    """Saves as ``before`` and loads as ``now``."""
    (before or checkpoint()).save(path, {"model": nn.Linear(1, 1)}, progress or TrainerState())
    return now.load(path, {"model": nn.Linear(1, 1)})


@pytest.mark.parametrize(
    "change",
    [
        ("seed", 6), ("optim.lr", 0.01), ("optim.budget_seconds", 61.0), ("optim.ema", 0.5),
        ("optim.micro_batch", 4), ("optim.margin", 0.3), ("model.fusion.gate", "released"),
        ("model.seq2vec.dropout", 0.5), ("model.backbone.train", "layer4"),
        ("dataset.max_words", 3), ("dataset.rotation_degrees", 0.0), ("logs.eval_step", 2),
    ],
    ids=lambda change: change[0],
)  # fmt: skip
def test_what_changes_a_number_cannot_change_on_resume(tmp_path, change):
    with pytest.raises(UserError, match=re.escape(f"was trained with {change[0]}: ")):
        resume(tmp_path / "last.pth", checkpoint(change))


@pytest.mark.parametrize(
    "change",
    [
        ("device", "cpu"), ("optim.epochs", 2), ("optim.early_stop", 3), ("optim.compile", True),
        ("k_fold.nums", 3), ("rerank.k", 5), ("dataset.workers", 1), ("dataset.batch_size_val", 9),
        ("dataset.image_cache", "off"), ("logs.print_freq", 3),
    ],
    ids=lambda change: change[0],
)  # fmt: skip
def test_what_changes_no_number_may_change_on_resume(tmp_path, change):
    progress = TrainerState(epoch=4, best_mR=30.0, history=[{"epoch": 4.0, "mR": 30.0}])
    assert resume(tmp_path / "last.pth", checkpoint(change), progress=progress) == progress


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"words": ("b", "a")}, "another vocabulary"),
        ({"fold": 1}, "other images"),
        ({"train": ("3.tif",)}, "other images"),
        ({"validation": ("3.tif",)}, "other images"),
    ],
)
def test_other_words_and_images_are_refused(tmp_path, change, message):
    with pytest.raises(UserError, match=f"was trained with {message}"):
        resume(tmp_path / "last.pth", checkpoint(**change))


@pytest.mark.parametrize(
    "change",
    [
        ("optim.schedule", "cosine"),
        ("optim.warmup", 0.1),
        ("model.backbone.unfreeze_at", 0.5),
        ("dataset.train_sizes", [192, 224]),
    ],
    ids=lambda change: change[0],
)
def test_epochs_are_fixed_where_they_stretch_something(tmp_path, change):
    epochs = ("optim.epochs", 7)
    assert depends_on_epochs(options_with(change)) == change[0]
    with pytest.raises(UserError, match=rf"optim\.epochs: 7, which {re.escape(change[0])} depends"):
        resume(tmp_path / "last.pth", checkpoint(change), checkpoint(change, epochs))
    assert resume(tmp_path / "last.pth", checkpoint(change), checkpoint(change)) == TrainerState()


def test_nothing_is_stretched_by_default_and_under_a_budget_the_steps_alone():
    assert depends_on_epochs(options_with()) is None
    assert depends_on_epochs(options_with(("dataset.train_sizes", [224]))) is None
    budget = ("optim.budget_seconds", 9.0)
    assert depends_on_epochs(options_with(budget)) == "optim.schedule"
    assert depends_on_epochs(options_with(budget, ("optim.schedule", "cosine"))) is None


def test_every_part_is_restored_and_its_place_told(tmp_path):
    saved, fresh = ({"one": nn.Linear(1, 2), "model": nn.Linear(2, 2)} for _ in range(2))
    checkpoint().save(tmp_path / "last.pth", saved, TrainerState(epoch=3))
    assert checkpoint().load(tmp_path / "last.pth", fresh) == TrainerState(epoch=3)
    for name, part in saved.items():
        assert torch.equal(part.weight, fresh[name].weight)
    stored = torch.load(tmp_path / "last.pth", weights_only=True)
    assert stored["epoch"] == 3
    assert stored["fold"] == {"index": 0, "train": ["1.tif"], "validation": ["2.tif"]}
    assert stored["vocabulary"] == ["a", "b"]


def test_the_bytes_of_a_checkpoint_serve_in_place_of_the_file(tmp_path):
    path, parts = tmp_path / "last.pth", {"model": nn.Linear(1, 1)}
    checkpoint().save(path, parts, TrainerState(epoch=2))
    content = checkpoint().checked_bytes(path, parts)
    path.unlink()
    assert checkpoint().load(path, parts, content).epoch == 2
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"optim\.lr"):
        checkpoint(("optim.lr", 0.1)).checked_bytes(path, parts)


def test_what_cannot_be_gone_on_with_is_refused(tmp_path):
    path = tmp_path / "best.pth"
    model = nn.Linear(1, 1)
    checkpoint().save(path, {"model": model}, TrainerState())
    with pytest.raises(UserError, match="cannot be resumed: missing key 'optimizer'"):
        checkpoint().load(path, {"model": model, "optimizer": model})
    with pytest.raises(UserError, match="its entry model does not fit"):
        checkpoint().load(path, {"model": nn.Linear(2, 1)})


def test_progress_keeps_the_first_best_validation():
    progress = TrainerState()
    assert progress == TrainerState(-1, -1.0, -1, 0, 0.0, False, [])
    rows = [{"mR": 0.0}, {"mR": 20.0}, {}, {"mR": 20.0}, {"mR": 19.0}]
    found = [progress.add({"epoch": float(i), **row}) for i, row in enumerate(rows)]
    assert found == [True, True, False, False, False]
    assert (progress.epoch, progress.best_epoch, progress.best_mR) == (4, 1, 20.0)
    assert progress.validations_since_best == 2
    assert len(progress.history) == 5
    assert progress.add({"epoch": 5.0, "mR": 20.5})
    assert (progress.best_epoch, progress.validations_since_best) == (5, 0)


def test_a_fold_ends_by_epochs_by_patience_or_by_its_budget():
    def ends(progress, *changes):
        return progress.is_finished(options_with(*changes).optim)

    epochs, patience = ("optim.epochs", 4), ("optim.early_stop", 2)
    assert [ends(TrainerState(epoch=last), epochs) for last in (-1, 2, 3, 4)] == [0, 0, 1, 1]
    waited = [TrainerState(epoch=0, validations_since_best=count) for count in (1, 2, 3)]
    assert [ends(each, epochs, patience) for each in waited] == [0, 1, 1]
    assert not ends(waited[-1], epochs)
    budget = ("optim.budget_seconds", 9.0)
    assert not ends(TrainerState(epoch=5), epochs, budget)
    assert ends(TrainerState(epoch=0, spent=True), epochs, budget)
    assert not ends(TrainerState(epoch=0, spent=True), epochs)


def test_the_log_leaves_room_for_epochs_without_validation(tmp_path):
    write_log(tmp_path / "log.csv", [{"epoch": 0.0, "loss": 2.5}, {"epoch": 1.0, "mR": 30.0}])
    assert (tmp_path / "log.csv").read_text() == "epoch,loss,mR\n0.0,2.5,\n1.0,,30.0\n"
