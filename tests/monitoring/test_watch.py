"""Trainings that go wrong without a NaN: each is warned of once, and a good one of nothing."""

import math

import pytest
import torch
from torch import nn

from galr.monitoring.watch import Watch
from galr.options import load_options, options_from_dict
from galr.training.optimizer import MixedPrecisionOptimizer
from galr.training.trainer import Trainer
from tests.tiny import make_data

ALIKE, STILL, LEVEL, LEAP = "nearly equal", "gradients", "not fallen in 3 epochs", "jump"


def watch(lr=0.001, gradient=1.0, loss=1.0):
    torch.manual_seed(0)
    module = nn.Linear(20, 20)
    optimizer = MixedPrecisionOptimizer(
        [module], options_from_dict({}, "test").optim, torch.device("cpu")
    )
    found = Watch(["a.png"], optimizer.optimizer, lr)
    for weight in module.parameters():
        weight.grad = torch.full_like(weight, gradient)
    found.add(torch.tensor(loss), torch.tensor([0]))
    found.check("fold 0")
    return found


def rows(*losses):
    return [{"loss": loss} for loss in losses]


@pytest.mark.parametrize(
    ("made", "losses", "spread", "warming", "expected"),
    [
        ({}, [9.0, 8.0, 8.1, 8.2], 0.1, False, []),
        ({}, [9.0], 0.0, False, [ALIKE]),
        ({"gradient": 0.0}, [9.0], 0.1, False, [STILL]),
        ({"gradient": 0.0, "loss": 0.0}, [0.0], 0.1, False, []),
        ({}, [9.0, 9.0, 8.95, 9.1], 0.1, False, [LEVEL]),
        ({}, [9.0, 9.0, 8.95, 9.1], 0.1, True, []),
        ({}, [9.0, 9.0, 8.95], 0.1, False, []),
        ({}, [9.0, 4.0, 6.1], 0.1, False, [LEAP]),
        ({"lr": 0.1}, [9.0], 0.1, False, [LEAP]),
        ({}, [9.0], math.inf, False, []),
    ],
)
def test_each_is_warned_of_once(caplog, made, losses, spread, warming, expected):
    found = watch(**made)
    for _ in range(2):
        found.warn(rows(*losses), spread, warming)
    assert len(caplog.messages) == len(expected)
    for message, part in zip(caplog.messages, expected, strict=True):
        assert part in message
        assert message.startswith(f"epoch {len(losses) - 1}: ")


@pytest.fixture(scope="module")
def yaml(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("watch"))


def train(yaml, *settings):
    common = ["k_fold.nums=1", "device=cpu"]
    Trainer(load_options(yaml, [*common, *settings])).fit(overwrite=True)


def test_a_rate_of_one_is_seen_in_a_real_run(yaml, caplog):
    train(yaml, "optim.lr=1", "optim.epochs=2")
    assert sum("learning rate is probably too high" in text for text in caplog.messages) == 1


def test_a_rate_that_moves_nothing_is_seen_in_a_real_run(yaml, caplog):
    train(yaml, "optim.lr=1e-12", "optim.epochs=4")
    assert sum(LEVEL in text for text in caplog.messages) == 1


def test_a_run_as_it_should_be_is_not_warned_of(yaml, caplog):
    train(yaml, "optim.epochs=2")
    assert not [r.getMessage() for r in caplog.records if "docs/training.md" in r.getMessage()]
