import pytest

from galr.data.sampling import image_side
from galr.options import DatasetOptions, OptimOptions
from galr.training.schedule import TrainingBudget, cpu_seconds, learning_rate, step_schedule


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


def test_pace_counts_steps_of_all_epochs():
    budget = TrainingBudget(OptimOptions(epochs=4))
    assert [budget.done(0), budget.done(1, 0.5), budget.done(4)] == [0, 0.375, 1]


def test_pace_counts_processor_seconds_of_a_budget():
    now = [100.0]
    budget = TrainingBudget(OptimOptions(budget_seconds=50), started=90.0, clock=lambda: now[0])
    assert budget.done(7, 0.9) == 0.2
    budget.resume(20)  # seconds of an earlier run
    assert budget.done(0) == 0.6
    now[0] = 200.0
    assert budget.done(0) == 1.0


def test_processor_seconds_are_those_of_work_not_of_waiting():
    before = cpu_seconds()
    while cpu_seconds() - before < 0.05:
        sum(range(1000))
    assert cpu_seconds() >= before + 0.05


def test_each_side_has_an_equal_share_of_the_training():
    options = DatasetOptions(image_size=128, train_sizes=(32, 64, 96))
    sides = [image_side(options, done) for done in (0, 0.33, 0.34, 0.66, 0.67, 1.0)]
    assert sides == [32, 32, 64, 64, 96, 96]
    assert image_side(DatasetOptions(image_size=128), 0.5) == 128
