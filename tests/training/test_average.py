import copy

import pytest
import torch
from torch import nn

from galr.training.optimizer import weight_average


def network():
    return nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))


def run(average, model, values):
    for value in values:
        with torch.no_grad():
            model[0].weight.fill_(value)
            model[1].running_mean.fill_(10 * value)
            model[1].num_batches_tracked.add_(1)
        average.update_parameters(model)


def test_follows_weights_and_statistics_and_leaves_the_model_alone():
    model = network()
    average = weight_average(model, decay=0.5)
    values = [1.0, 3.0, 2.0, 5.0, 4.0, 4.0]
    run(average, model, values)
    expected = values[0]
    for steps, value in enumerate(values[1:], start=1):
        decay = min(0.5, (1 + steps) / (10 + steps))
        expected = decay * expected + (1 - decay) * value
    assert average.module[0].weight.item() == pytest.approx(expected)
    assert average.module[1].running_mean.item() == pytest.approx(10 * expected)
    assert average.module[1].num_batches_tracked == 6
    assert model[0].weight.item() == 4.0


def test_continues_where_it_was():
    model = network()
    whole = weight_average(model, 0.9)
    run(whole, model, range(6))
    first = weight_average(model, 0.9)
    run(first, model, range(3))
    second = weight_average(network(), 0.9)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    run(second, model, range(3, 6))
    assert torch.equal(second.module[0].weight, whole.module[0].weight)
