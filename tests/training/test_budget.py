"""Trainings that end by seconds of the processor, on a clock of the test's own."""

import pytest
import torch

from galr.common.errors import UserError
from galr.options import OptimOptions, load_options
from galr.training import fold_trainer, schedule
from galr.training.fold_trainer import FoldTrainer
from galr.training.trainer import Trainer
from tests.tiny import make_data

ONE_FOLD = ["k_fold.nums=1", "device=cpu", "optim.schedule=cosine", "optim.warmup=0.1"]


class Clock:
    """A second passes with each look at it."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 1
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(schedule, "cpu_seconds", clock)
    return clock


@pytest.fixture
def yaml(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    return make_data(tmp_path)


def train(yaml, *changes, resume=False):
    options = load_options(yaml, [*ONE_FOLD, *changes])
    Trainer(options, started=0.0).fit(resume=resume)
    return state(options)


def state(options, name="last.pth"):
    return torch.load(options.experiment_folder / "0" / name, weights_only=True)


def averaged(last):
    """The averaged weights in a checkpoint, by the names of the model's."""
    weights = last["average"].items()
    return {name.removeprefix("module."): w for name, w in weights if name != "n_averaged"}


def test_the_last_epoch_is_cut_and_validated_and_the_schedule_ends_with_the_budget(yaml, clock):
    progress = train(yaml, "optim.budget_seconds=100", "logs.eval_step=1000")["progress"]
    *before, last = progress["history"]
    assert len(before) > 2
    assert "mR" in last
    assert not any("mR" in row for row in before)
    assert all(row["loss"] > 0 for row in progress["history"])
    rates = [row["lr"] for row in progress["history"]]
    assert max(rates) == rates[0]
    assert last["lr"] < 0.01 * rates[0]
    assert 100 <= last["cpu_seconds"] < 110
    assert progress["spent"]


def test_a_validation_that_takes_the_rest_ends_the_training(yaml, clock, monkeypatch):
    validate = FoldTrainer.validate

    def slow(trainer):
        clock.now += 60
        return validate(trainer)

    monkeypatch.setattr(FoldTrainer, "validate", slow)
    progress = train(yaml, "optim.budget_seconds=100")["progress"]
    assert [("mR" in row, row["loss"] > 0) for row in progress["history"]] == [(True, True)] * 2
    assert progress["cpu_seconds"] > 120


def test_a_continuation_counts_the_validations_before_it(yaml, clock, monkeypatch):
    validate = FoldTrainer.validate

    def slow_then_stopped(trainer):
        if trainer.state.epoch == 0:
            raise KeyboardInterrupt
        clock.now += 50
        return validate(trainer)

    monkeypatch.setattr(FoldTrainer, "validate", slow_then_stopped)
    with pytest.raises(KeyboardInterrupt):
        train(yaml, "optim.budget_seconds=200")
    spent = state(load_options(yaml, ONE_FOLD))["progress"]["cpu_seconds"]
    assert spent > 50
    monkeypatch.setattr(FoldTrainer, "validate", validate)
    clock.now = 0.0  # another process
    first, second, *_ = train(yaml, "optim.budget_seconds=200", resume=True)["progress"]["history"]
    assert first["cpu_seconds"] < spent  # the row is without the validation
    assert second["cpu_seconds"] > spent


def test_a_budget_that_the_set_up_takes_is_an_error(yaml, clock):
    clock.now = 30.0
    with pytest.raises(UserError, match="20 s are used up before the first step: set-up took 3"):
        train(yaml, "optim.budget_seconds=20")
    options = load_options(yaml, ONE_FOLD)
    assert not list(options.experiment_folder.rglob("*.pth"))


def test_the_schedule_runs_over_what_the_set_up_leaves(yaml, clock, monkeypatch):
    features = fold_trainer.FoldTrainer._open_loader

    def slow(trainer, progress):
        clock.now += 60 * (trainer._reads_features is None)  # once
        return features(trainer, progress)

    monkeypatch.setattr(FoldTrainer, "_open_loader", slow)
    rates = []
    monkeypatch.setattr(
        schedule.Schedule, "learning_rate",
        lambda plan, epoch, share=0.0: rates.append(
            schedule.learning_rate(plan.options, epoch, plan.progress(epoch, share))
        ) or rates[-1],
    )  # fmt: skip
    progress = train(yaml, "optim.budget_seconds=200", "optim.warmup=0.3")["progress"]
    peak = max(rates)
    assert rates[0] < 0.3 * peak
    assert rates[-1] < 0.1 * peak
    assert 60 < progress["setup_seconds"] < 80
    assert 200 <= progress["cpu_seconds"] < 210


def test_a_continuation_goes_on_where_the_schedule_was():
    options = OptimOptions(budget_seconds=100, budget_clock="cpu")
    plan = schedule.Schedule(options, torch.device("cpu"), started=-20.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schedule, "cpu_seconds", lambda: 0.0)
        plan.begin()
        assert (plan.setup, plan.progress()) == (20, 0)
        patch.setattr(schedule, "cpu_seconds", lambda: 40.0)
        assert plan.progress() == 0.5
        again = schedule.Schedule(options, torch.device("cpu"), started=35.0)  # 5 of set-up
        again.resume(60, plan.setup)
        again.begin()
        assert again.setup == 25
        assert again.progress() == pytest.approx(40 / 75)


def test_processes_that_load_images_are_counted():
    import multiprocessing
    import time

    before = schedule.cpu_seconds()
    context = multiprocessing.get_context("spawn")
    child = context.Process(target=time.sleep, args=(60,))
    child.start()
    try:
        limit = time.monotonic() + 30
        # starting Python takes a good part of a second
        while schedule.cpu_seconds() - before < 0.02 and time.monotonic() < limit:
            time.sleep(0.05)
        assert schedule._seconds_of(child.pid) > 0
        assert schedule.cpu_seconds() - before >= schedule._seconds_of(child.pid)
    finally:
        child.kill()
        child.join()
    assert schedule._seconds_of(child.pid) == 0


def test_the_average_of_weights_is_what_best_holds(yaml):
    changes = ["optim.ema=0.9", "optim.epochs=2", "optim.schedule=step", "optim.warmup=0"]
    last = train(yaml, *changes, "k_fold.experiment_name=averaged")
    options = load_options(yaml, [*ONE_FOLD, "k_fold.experiment_name=averaged"])
    best = state(options, "best.pth")
    assert best["epoch"] in (0, 1)
    if best["epoch"] == 1:
        for name, value in averaged(last).items():
            assert torch.equal(best["model"][name], value), name
    changed = [name for name, value in last["model"].items() if value.is_floating_point()]
    assert any(not torch.equal(best["model"][name], last["model"][name]) for name in changed)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ("optim.schedule=cosine", "optim.schedule"),
        ("dataset.train_sizes=[32,32]", "dataset.train_sizes"),
        ("optim.warmup=0.2", "optim.warmup"),
    ],
)
def test_epochs_cannot_change_where_something_depends_on_them(yaml, change, place):
    plain = ["optim.schedule=step", "optim.warmup=0", change]
    train(yaml, *plain, "optim.epochs=1")
    with pytest.raises(UserError, match=rf"optim\.epochs: 1, which {place} depends on"):
        train(yaml, *plain, "optim.epochs=2", resume=True)


def test_under_a_budget_the_step_schedule_alone_depends_on_epochs(yaml, clock):
    steps = ["optim.schedule=step", "optim.warmup=0", "optim.budget_seconds=60"]
    train(yaml, *steps, "optim.epochs=50")
    with pytest.raises(UserError, match=r"optim\.epochs: 50, which optim\.schedule depends on"):
        train(yaml, *steps, "optim.epochs=25", resume=True)
    cosine = ["optim.budget_seconds=60", "k_fold.experiment_name=cosine"]
    clock.now = 0.0  # as in a process of its own
    before = train(yaml, *cosine, "optim.epochs=50")
    assert train(yaml, *cosine, "optim.epochs=25", resume=True)["epoch"] == before["epoch"]


def test_validation_sees_the_average_of_the_weights(yaml, monkeypatch):
    seen = []
    encode = fold_trainer.encode_similarity

    def watched(model, *arguments):
        seen.append({name: value.clone() for name, value in model.state_dict().items()})
        return encode(model, *arguments)

    monkeypatch.setattr(fold_trainer, "encode_similarity", watched)
    changes = ["optim.ema=0.9", "optim.epochs=2", "optim.schedule=step", "optim.warmup=0"]
    last = train(yaml, *changes)
    for name, value in averaged(last).items():
        assert torch.equal(seen[-1][name], value), name
    name = "text_encoder.projection.weight"
    assert not torch.equal(seen[-1][name], last["model"][name])


def test_epochs_that_were_never_validated_are_an_error(yaml):
    plain = ["optim.schedule=step", "optim.warmup=0", "logs.eval_step=1000"]
    options = load_options(yaml, [*ONE_FOLD, *plain, "optim.epochs=3"])
    train_epoch = FoldTrainer.train_epoch

    def stopped(trainer, epoch):
        if epoch == 2:
            raise KeyboardInterrupt
        return train_epoch(trainer, epoch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FoldTrainer, "train_epoch", stopped)
        with pytest.raises(KeyboardInterrupt):
            Trainer(options).fit()
    with pytest.raises(UserError, match="none of the 2 epochs of fold 0 was validated"):
        train(yaml, *plain, "optim.epochs=2", resume=True)


def test_a_budget_may_count_the_seconds_that_pass(yaml, monkeypatch):
    monkeypatch.setattr(schedule, "cpu_seconds", lambda: pytest.fail("is the other clock"))
    options = load_options(yaml, ["optim.budget_seconds=10", "optim.budget_clock=wall"]).optim
    monkeypatch.setattr(schedule.time, "monotonic", lambda: schedule._STARTED + 7)
    plan = schedule.Schedule(options, torch.device("cpu"), started=2.0)
    assert plan.progress() == pytest.approx(0.5)
    plan.resume(5, setup=1)
    assert plan.is_spent
