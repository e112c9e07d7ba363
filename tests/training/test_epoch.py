"""An epoch of a fold, with steps whose losses are given."""

import pytest
import torch

from galr.common.errors import RunError
from galr.options import load_options
from galr.training import schedule
from galr.training.data import read_training_data
from galr.training.fold_trainer import FoldTrainer
from tests.tiny import make_data

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def yaml(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("epoch"))


def make(yaml, *changes):
    """A trainer with 32 pairs in batches of 14, 14 and 4."""
    settings = ["k_fold.nums=1", "device=cpu", "dataset.batch_size=14", "dataset.image_cache=off"]
    return FoldTrainer(read_training_data(load_options(yaml, [*settings, *changes]), CPU), 0, CPU)


def run(trainer, losses, epoch=0, after_step=lambda: None):
    """The figures of an epoch, and the learning rates and seeds of its steps."""
    seen, given = [], iter(losses)

    def step(batch, lr, seed):
        seen.append((lr, seed))
        after_step()
        return torch.tensor(next(given))

    trainer.training.step = step
    return trainer.train_epoch(epoch), seen


def test_the_loss_is_the_mean_over_pairs_and_each_step_has_its_own_rate_and_dropout(yaml):
    trainer = make(yaml, "optim.schedule=cosine", "optim.epochs=2", "optim.lr=1")
    figures, first = run(trainer, [8.0, 4.0, 3.0])
    assert figures["loss"] == pytest.approx(15.0 / 32)
    assert figures["images_per_second"] > 0
    rates = [lr for lr, _ in first]
    assert rates == sorted(set(rates), reverse=True)
    assert figures["lr"] == rates[-1]
    _, second = run(trainer, [8.0, 4.0, 3.0], epoch=1)
    assert len({seed for _, seed in first + second}) == 6


def test_ends_where_the_budget_is_spent_but_not_before_its_first_step(yaml, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(schedule, "cpu_seconds", lambda: now[0])
    trainer = make(yaml, "optim.budget_seconds=100")

    def wait():
        now[0] += 60

    figures, seen = run(trainer, [8.0, 4.0, 3.0], after_step=wait)
    assert figures["loss"] == pytest.approx(12.0 / 28)
    assert len(seen) == 2
    figures, seen = run(trainer, [7.0], epoch=1, after_step=wait)
    assert figures["loss"] == pytest.approx(7.0 / 14)
    assert len(seen) == 1


@pytest.mark.parametrize(("print_freq", "pairs"), [(1, 28), (2, 32), (10, 32)])
def test_a_loss_that_is_nan_is_an_error_when_it_is_read(yaml, print_freq, pairs):
    trainer = make(yaml, f"logs.print_freq={print_freq}")
    with pytest.raises(RunError, match=f"fold 0 epoch 0: the loss is nan after {pairs} pairs"):
        run(trainer, [8.0, float("nan"), 3.0])
