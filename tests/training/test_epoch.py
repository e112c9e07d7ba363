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


def run(trainer, losses, epoch=0, after_step=lambda: None, batches=None):
    """The figures of an epoch, and the learning rates and seeds of its steps."""
    seen, given = [], iter(losses)
    batches = [] if batches is None else batches

    def step(batch, lr, seed):
        seen.append((lr, seed))
        batches.append(batch)
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


@pytest.mark.parametrize("print_freq", [1, 2, 10])
@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_names_the_images_of_its_batch(yaml, print_freq, number):
    trainer = make(yaml, f"logs.print_freq={print_freq}")
    batches = []
    with pytest.raises(RunError, match="fold 0 epoch 0: NaN or infinity in the loss") as caught:
        run(trainer, [8.0, number, 3.0], batches=batches)
    names = trainer.checkpoint.identity["fold"]["train"]
    of_batch = list(dict.fromkeys(names[i] for i in batches[1].image_index.tolist()))
    assert f"{len(of_batch)} images starting with {', '.join(of_batch[:5])}" in str(caught.value)


def test_weights_that_are_no_numbers_stop_the_epoch_though_its_losses_are_fine(yaml):
    trainer = make(yaml)
    bias = next(iter(trainer.model.parameters()))

    def spoil():
        bias.data.fill_(float("inf"))

    with pytest.raises(RunError, match="NaN or infinity in the weights"):
        run(trainer, [8.0, 4.0, 3.0], after_step=spoil)


def test_a_stopped_run_keeps_its_last_good_checkpoint(yaml, monkeypatch):
    trainer = make(yaml, "optim.epochs=3", "k_fold.experiment_name=kept")
    step = trainer.training.step

    def steps(batch, lr, seed):
        return step(batch, lr, seed) * (float("nan") if trainer.state.epoch == 0 else 1.0)

    monkeypatch.setattr(trainer.training, "step", steps)
    with pytest.raises(RunError, match="last checkpoint is unchanged"):
        trainer.fit()
    kept = torch.load(trainer.last, weights_only=True)
    assert kept["epoch"] == 0
    assert all(bool(torch.isfinite(x).all()) for x in kept["model"].values())
