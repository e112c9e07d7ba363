import pytest
import torch

from galr.data.sampling import image_side
from galr.options import DatasetOptions, OptimOptions
from galr.training import schedule
from galr.training.schedule import Schedule, cpu_seconds, learning_rate, step_schedule

CPU = torch.device("cpu")


def test_decays_one_epoch_early_as_the_released_code_does():
    rate = 1.0
    for epoch in range(50):  # the released rule, step by step
        if epoch % 20 == 19:
            rate *= 0.7
        assert abs(step_schedule(epoch, 1.0, 20, 0.7) - rate) < 1e-12
    assert step_schedule(18, 1.0, 20, 0.7) == 1.0
    assert step_schedule(19, 1.0, 20, 0.7) == 0.7


def test_warms_up_and_falls_by_half_a_cosine():
    options = OptimOptions(lr=2.0, schedule="cosine", warmup=0.2, lr_final=0.1)
    rates = [learning_rate(options, 0, done) for done in (0.0, 0.1, 0.2, 0.6, 1.0)]
    assert rates == pytest.approx([0.0, 1.0, 2.0, (2.0 + 0.2) / 2, 0.2])


def test_the_papers_schedule_takes_a_warm_up_too():
    options = OptimOptions(lr=1.0, warmup=0.5, lr_update_epoch=2, lr_decay_param=0.5)
    assert learning_rate(options, 0, 0.25) == 0.5
    assert learning_rate(options, 1, 0.75) == 0.5


def test_under_a_budget_epochs_are_equal_shares_of_it():
    options = OptimOptions(
        lr=1.0, epochs=4, budget_seconds=60, lr_update_epoch=1, lr_decay_param=0.5
    )
    shares = (0.0, 0.24, 0.25, 0.5, 0.99, 1.0)
    rates = [learning_rate(options, 99, done) for done in shares]
    assert rates == [0.5, 0.5, 0.25, 0.125, 0.0625, 0.0625]


def test_progress_counts_steps_of_all_epochs():
    fold = Schedule(OptimOptions(epochs=4), CPU)
    assert [fold.progress(0), fold.progress(1, 0.5), fold.progress(4)] == [0, 0.375, 1]
    assert not fold.is_spent


def test_progress_counts_cpu_seconds_of_a_budget(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(schedule, "cpu_seconds", lambda: now[0])
    fold = Schedule(OptimOptions(budget_seconds=50), CPU, started=90.0)
    assert fold.progress(7, 0.9) == 0.2
    fold.resume(20, setup=0)  # seconds of an earlier run
    assert fold.progress(0) == 0.6
    assert (fold.seconds, fold.is_spent) == (30.0, False)
    now[0] = 200.0
    assert fold.progress(0) == 1.0
    assert fold.is_spent


def test_the_rate_of_a_step_is_that_at_its_progress():
    fold = Schedule(OptimOptions(epochs=4, lr=2.0, schedule="cosine", warmup=0.5), CPU)
    assert fold.learning_rate(1, 0.5) == learning_rate(fold.options, 1, 0.375) == 1.5


def test_cpu_seconds_are_those_of_work_not_of_waiting():
    before = cpu_seconds()
    while cpu_seconds() - before < 0.05:
        sum(range(1000))
    assert cpu_seconds() >= before + 0.05


def test_each_side_has_an_equal_share_of_the_training():
    options = DatasetOptions(image_size=128, train_sizes=(32, 64, 96))
    sides = [image_side(options, done) for done in (0, 0.33, 0.34, 0.66, 0.67, 1.0)]
    assert sides == [32, 32, 64, 64, 96, 96]
    assert image_side(DatasetOptions(image_size=128), 0.5) == 128
